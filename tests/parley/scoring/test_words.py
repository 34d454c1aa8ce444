import pytest

from parley.scoring.words import words


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Hi, 你好 👍👍", ["hi", "你", "好", "👍", "👍"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("don't stop 3.5", ["don", "t", "stop", "3", "5"]),
        ("Straße ΟΔΟΣ", ["strasse", "οδοσ"]),
        ("cafe\u0301", ["caf\u00e9"]),
        ("مرحبا، كيف", ["مرحبا", "كيف"]),
        ("カタカナ。", ["カ", "タ", "カ", "ナ"]),
        (" :) … ", []),
    ],
)
def test_words_of_any_script(text: str, wanted: list[str]) -> None:
    assert words(text) == wanted
