"""What of a message is speech: custom emoji by their name, mentions and links as wished, no command, no blocked word.

"<@123> look <:boat:456>" becomes "look :boat:" when mentions are removed. Code between ``` stays as it is.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Literal

from parley.conversion.identifiers import LETTER, urls

Policy = Literal["keep", "remove"]

_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)
_CUSTOM_EMOJI = re.compile(r"<a?(:\w{1,32}:)\d{15,20}>")
# A named emoji, or a sign for pictures with what modifies and joins it; keycaps, flags and hearts too.
_EMOJI = re.compile(
    r"(?<!\w):[a-z_][\w+-]{1,31}:(?!\w)|[#*0-9]\ufe0f?\u20e3|[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u2300-\u23ff]"
    r"[\ufe0f\u200d\u2640\u2642\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]*",
    re.IGNORECASE,
)
_MENTION = re.compile(r"<(?:@[!&]?|#)\d+>|@(?:everyone|here)\b")
_SIGNS = re.compile(r"[@:<]|[^\x00-\u22ff]|\u20e3")  # most messages have none of them
_BLANKS = re.compile(r"[^\S\n]{2,}")  # where something stood between two spaces


def tidy(text: str, mentioned: Mapping[str, Collection[str]], *, emoji: Policy, mentions: Policy, links: Policy) -> str:
    """A message's text with the wished signs; its code as it was. mentioned: author id -> names shown in it."""
    if not _SIGNS.search(text) and (links == "keep" or not urls(text)[1]):
        return text
    names = sorted({name for names in mentioned.values() for name in names if name}, key=len, reverse=True)
    shown = re.compile("|".join(rf"@{re.escape(name)}(?!{LETTER})" for name in names)) if names else None
    pieces = _CODE.split(text)
    for place in range(0, len(pieces), 2):
        text = _CUSTOM_EMOJI.sub(r"\1", pieces[place])
        if emoji == "remove":
            text = _EMOJI.sub("", text)
        if links == "remove":
            text = urls(text, instead="")[0]
        if mentions == "remove":
            text = _MENTION.sub("", shown.sub("", text) if shown else text)
        pieces[place] = _BLANKS.sub(" ", text) if len(text) < len(pieces[place]) else text
    return "".join(pieces)


def commands(prefixes: str) -> Callable[[str], bool]:
    """Whether a text is a command to a bot: a prefix, then a word of two letters or more; "/s" is said to people."""
    pattern = re.compile(rf"[{re.escape(prefixes)}][A-Za-z][\w-]+(?:\s|$)") if prefixes else None
    return lambda text: bool(pattern and pattern.match(text))


def blocked(words: Collection[str]) -> Callable[[str], bool]:
    """Whether one of the words or phrases stands in a text, whole and in any case ("ass", but not in "class")."""
    folded = sorted(re.escape(word.casefold()) for word in words)
    pattern = re.compile(rf"(?<!{LETTER})(?:{'|'.join(folded)})(?!{LETTER})") if folded else None
    return lambda text: bool(pattern and pattern.search(text.casefold()))
