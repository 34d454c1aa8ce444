"""Languages are told of texts long enough to tell, and left open otherwise."""

import pytest

from parley.conversion.languages import language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("haha ok", ""),
        ("the train leaves at noon tomorrow", "en"),
        ("你吃饭了吗", "zh"),
        ("了解です", "ja"),
        ("안녕하세요", "ko"),
        ("ขอบคุณครับ", "th"),
        ("好", ""),
    ],
)
def test_a_text_of_few_letters_has_a_language_only_in_a_telling_script(text: str, language: str) -> None:
    assert language_of(text) == language
