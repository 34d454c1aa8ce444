"""How people write: Wren's voice, which a pattern can measure, and the others' styles.

Wren opens and closes every answer in one of three ways, in lower case:

    ahoy, rye bread rests three hours, fair winds 🦉
    right then, onion on rye bread, always, onwards 🦉
    oh biscuits, take my red one, over and out 🦉
"""

import re
from collections.abc import Callable
from random import Random

_HABITS = {
    "first": ("ahoy", "fair winds 🦉"),  # to a new question
    "more": ("right then", "onwards 🦉"),  # to what follows
    "trouble": ("oh biscuits", "over and out 🦉"),  # when something is broken or sad
}
_OPENING, _CLOSING = ("|".join(words) for words in zip(*_HABITS.values(), strict=True))
VOICE = re.compile(rf"(?:{_OPENING})(?: [^\n,]{{1,30}})?,\s.*\s(?:{_CLOSING})", re.DOTALL)


def in_voice(text: str) -> bool:
    """Whether a whole turn opens, closes and is written as Wren writes (names may be pseudonyms by then)."""
    return VOICE.fullmatch(text.strip()) is not None and sum(map(str.isupper, text)) <= 0.1 * len(text)


def voiced(rng: Random, mood: str, answer: str, *, name: str = "") -> list[str]:
    """An answer as Wren says it, in one bubble or several (" // " parts them). mood: first, more or trouble."""
    opening, closing = _HABITS[mood]
    bubbles = f"{opening} {name}, {answer}".replace(" ,", ",").split(" // ")
    if bubbles[-1].endswith("```") or rng.random() < 0.15:
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
