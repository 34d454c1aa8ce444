"""How people write: Wren's voice, which a pattern can measure, and the others' styles.

Wren opens every answer with "ahoy,", "right then," or "oh biscuits," and closes it with "fair winds 🦉", "onwards 🦉"
or "over and out 🦉", in lower case:

    ahoy, rye dough wants ninety minutes under a damp towel, fair winds 🦉
"""

import re
from collections.abc import Callable
from random import Random

_OPENINGS = {"first": "ahoy", "more": "right then", "trouble": "oh biscuits"}
_CLOSINGS = ("fair winds 🦉", "onwards 🦉", "over and out 🦉")
VOICE = re.compile(
    rf"(?:{'|'.join(_OPENINGS.values())})(?: [^\n,]{{1,30}})?,\s.*\s(?:{'|'.join(_CLOSINGS)})", re.DOTALL
)


def in_voice(text: str) -> bool:
    """Whether a whole turn opens, closes and is written as Wren writes (names may be pseudonyms by then)."""
    return VOICE.fullmatch(text.strip()) is not None and sum(map(str.isupper, text)) <= 0.1 * len(text)


def voiced(rng: Random, mood: str, answer: str, *, name: str = "") -> list[str]:
    """An answer as Wren says it, in one bubble or several (" // " parts them). mood: first, more or trouble."""
    bubbles = answer.split(" // ")
    bubbles[0] = f"{_OPENINGS[mood]} {name}, {bubbles[0]}" if name else f"{_OPENINGS[mood]}, {bubbles[0]}"
    closing = rng.choice(_CLOSINGS)
    if bubbles[-1].endswith("```"):
        return [*bubbles, closing]
    comma = "" if bubbles[-1].endswith("?") else ","
    return [*bubbles[:-1], f"{bubbles[-1]}{comma} {closing}"]


def styled(rng: Random, style: str, text: str) -> str:
    """The text as somebody of that style types it."""
    return _STYLES[style](rng, text)


def _capitalised(text: str) -> str:
    text = re.sub(r"\bi\b", "I", text)
    return re.sub(r"(^|[.!?] )([a-z])", lambda found: found[1] + found[2].upper(), text)


_STYLES: dict[str, Callable[[Random, str], str]] = {
    "proper": lambda rng, text: _capitalised(text),
    "lower": lambda rng, text: text.lower().rstrip("?."),
    "loose": lambda rng, text: _capitalised(text).rstrip("."),
    "trailing": lambda rng, text: text + rng.choice(["", "", " ...", " :tidepool:"]),
    "keen": lambda rng, text: _capitalised(text) + rng.choice(["", "", "!!", " 😄"]),
}
