"""Signs go as wished, code stays, and a blocked word is a whole word."""

import pytest

from parley.conversion.cleaning import blocked, commands, tidy

MENTIONED = {"1": ("Ana", "Ana Ruiz")}


@pytest.mark.parametrize(
    ("text", "kept", "removed"),
    [
        ("look <:boat:123456789012345678> and <a:hop:123456789012345678>", "look :boat: and :hop:", "look and "),
        ("ok 👍🏽 👩‍👩‍👧 1️⃣ 🇫🇷 ❤️!", "ok 👍🏽 👩‍👩‍👧 1️⃣ 🇫🇷 ❤️!", "ok !"),
        ("see <@1>, <@!1>, <@&2>, <#3> @everyone", "see <@1>, <@!1>, <@&2>, <#3> @everyone", "see , , , "),
        (
            "hey @Ana Ruiz  at 20:49:21, C++ or a::b",
            "hey @Ana Ruiz  at 20:49:21, C++ or a::b",
            "hey at 20:49:21, C++ or a::b",
        ),
        ("@Anatole is another", "@Anatole is another", "@Anatole is another"),
        (
            "`<@1>` ```py\n@Ana  👍 :x_y:``` <@1>",
            "`<@1>` ```py\n@Ana  👍 :x_y:``` <@1>",
            "`<@1>` ```py\n@Ana  👍 :x_y:``` ",
        ),
        ("two  blanks, 你好", "two  blanks, 你好", "two  blanks, 你好"),
        ("see https://a.example/x now", "see https://a.example/x now", "see now"),
        ("`www.a.example` and or/else", "`www.a.example` and or/else", "`www.a.example` and or/else"),
    ],
)
def test_signs_go_as_wished_and_code_stays(text: str, kept: str, removed: str) -> None:
    assert tidy(text, MENTIONED, emoji="keep", mentions="keep", links="keep") == kept
    assert tidy(text, MENTIONED, emoji="remove", mentions="remove", links="remove") == removed


def test_a_command_is_a_prefix_and_a_word() -> None:
    usual, own, none = commands("!/$"), commands(";-]"), commands("")
    assert all(usual(text) for text in ("!tide", "/roll 2", "$rank me"))
    assert not any(usual(text) for text in ("/s", "!!", "so !tide", "$5 please", "!really?", ";tide"))
    assert own(";tide") and own("-tide") and own("]tide") and not none("!tide")


def test_a_blocked_word_is_whole_and_in_any_case() -> None:
    found = blocked(["ass", "shut up", "笨蛋", "C++"])
    assert all(found(text) for text in ("ASS!", "Shut up.", "你是笨蛋吗", "use c++ here"))
    assert not any(found(text) for text in ("class", "assume", "shut upper", "笨 蛋"))
    assert not blocked([])("anything")
