"""The proof of a mask: what is trained decodes to the turns it stands for, and their end token."""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from parley.conversation import Conversation, Turn
from parley.encoding.control import CUT
from parley.encoding.rendering import CHOOSE, Speaker, row_of
from parley.errors import ParleyError

_THOUGHT_EDGE = re.compile(r"\s*(</?think>)\s*")  # where templates put newlines of their own


def prove(
    conversations: Sequence[Conversation], decoded: Iterator[str], *, speaker: Speaker, end: str, last: bool = False
) -> None:
    """Raises ParleyError for the first turn of the speaker whose decoded span is not its text and the end token.

    decoded: the spans of all the speaker's turns, or of each conversation's last one, in order.
    """
    for conversation in conversations:
        said = [place for place, turn in enumerate(conversation.turns) if turn.role == speaker]
        for place in said[-1:] if last else said:
            turn, text = conversation.turns[place], next(decoded)
            if (turn.calls or text != turn.text + end) and not _says(text, turn, end):
                raise ParleyError(
                    f"{row_of(conversation)}: what would be trained of turn {place} does not decode to that turn and "
                    f"its end token ({len(turn.text)} characters, {len(turn.calls)} calls): the chat template or the "
                    f"tokenizer changes it; {CHOOSE}, or remove the row"
                )


def _says(decoded: str, turn: Turn, end: str) -> bool:
    """Whether the text is the turn's, then the end token; with calls, whether it also holds all that they hold."""
    said, text = decoded.removesuffix(end), turn.text.replace(CUT, "")
    if said == decoded:
        return False
    if not turn.calls:
        return said == text or _plain(said) == _plain(text)
    return _plain(said).startswith(_plain(text)) and all(
        part in said or json.dumps(part, ensure_ascii=False)[1:-1] in said
        for call in turn.calls
        for part in (text.replace(CUT, "") for text in (call.name, *_strings(call.arguments)))
    )


def _plain(text: str) -> str:
    """The text as any tokenizer may give it back: normal form, outer blanks, SentencePiece's blank.

    A thought's edges lose the newlines that templates put there, an empty thought goes: Qwen3 writes one where the
    turn has none.
    """
    plain = unicodedata.normalize("NFKC", text.replace("\u2581", " ")).strip()
    if "think>" in plain:
        plain = _THOUGHT_EDGE.sub(r"\1", plain).replace("<think></think>", "", 1)
    return plain


def _strings(value: Any) -> Iterator[str]:
    """Every string in nested JSON, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in [*value, *value.values()] if isinstance(value, Mapping) else value:
            yield from _strings(inner)
