"""What an end-of-turn detector reads: the last messages of a talk, written as speech recognition would write them.

The form is that of LiveKit's plugin (livekit-plugins-turn-detector, 2025): the last 6 messages of the two, in
lower case and without punctuation, neighbours of one role merged; of that the model sees the last 128 tokens.
"""

import re
import unicodedata
from collections.abc import Iterable

from parley.conversation import Role, Turn

MESSAGES = 6  # of a talk that the detector reads
TOKENS = 128  # of their text, the newest
_KEPT = "'-"
# Scripts that put no blanks between words: Thai to Burmese, Khmer, kana, Han. Each character is a piece of its own.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_FIRST_UNSPACED = re.compile(rf"[{_UNSPACED}]")
_PIECE = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


def normalise(text: str) -> str:
    """NFKC of the lower case, without punctuation but ' and -, blanks collapsed. Marks of Bangla and others stay."""
    kept = (c for c in unicodedata.normalize("NFKC", text.lower()) if c in _KEPT or unicodedata.category(c)[0] != "P")
    return " ".join("".join(kept).split())


def merged(turns: Iterable[Turn], *, plain: bool) -> list[Turn]:
    """What user and assistant say, neighbours of one role as one turn; `plain`: normalised. Empty turns go."""
    said: list[Turn] = []
    for turn in turns:
        text = normalise(turn.text) if plain else " ".join(turn.text.split())
        if turn.role not in ("user", "assistant") or not text:
            continue
        if said and said[-1].role == turn.role:
            text = f"{said.pop().text} {text}"
        said.append(Turn(turn.role, text))
    return said


def window(turns: Iterable[Turn], *, plain: bool = True) -> tuple[Turn, ...]:
    """The last messages as the detector reads them."""
    return tuple(merged([turn for turn in turns if turn.text.strip()][-MESSAGES:], plain=plain))


def pieces(text: str) -> list[tuple[int, int]]:
    """[start, stop) of each word; of each character, with its marks, in scripts without blanks between words."""
    found: list[tuple[int, int]] = []
    for match in _PIECE.finditer(text):
        start, stop = match.span()
        if found and found[-1][1] == start and unicodedata.category(text[start])[0] in "MP":
            start = found.pop()[0]  # a mark or a comma belongs to what it follows
        found.append((start, stop))
    return found


def is_unspaced(text: str) -> bool:
    """Whether the text begins in a script that puts no blanks between words."""
    return bool(_FIRST_UNSPACED.match(text))


def turns_of(messages: Iterable[dict[str, str]]) -> list[Turn]:
    """role/content messages as turns; those of other roles than user and assistant are left out."""
    roles: dict[str, Role] = {"user": "user", "assistant": "assistant"}
    return [Turn(roles[m["role"]], m["content"]) for m in messages if m["role"] in roles]
