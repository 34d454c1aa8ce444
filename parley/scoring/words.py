"""Words of a text in any script, for metrics that count them.

A run of letters, marks and digits is a word, casefolded. Scripts that are written without spaces give
one word a character, and so do emoji; punctuation separates: "Hi, 你好 👍" -> hi, 你, 好, 👍.
"""

import unicodedata

import regex

_WITHOUT_SPACES = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_WORD = regex.compile(
    rf"[{_WITHOUT_SPACES}&&\p{{L}}]\p{{M}}*|[[\p{{L}}\p{{M}}\p{{N}}]--{_WITHOUT_SPACES}]+|\p{{So}}", regex.V1
)


def words(text: str) -> list[str]:
    """The words of `text`, in order."""
    return _WORD.findall(unicodedata.normalize("NFC", text).casefold())
