"""What an end-of-turn detector reads."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from parley.conversation import Turn
from parley.specialists.turn_text import merged, normalise, pieces, window


def test_case_and_punctuation_go_but_apostrophes_and_hyphens_stay() -> None:
    assert normalise("  Well, it's a T-shirt…  (I THINK)!\n") == "well it's a t-shirt i think"


def test_a_danda_is_punctuation_and_combining_marks_stay() -> None:
    assert normalise("আমার ফ্যান চলছে না।") == "আমার ফ্যান চলছে না"
    assert normalise("क्या हुआ? ठीक है॥") == "क्या हुआ ठीक है"


def test_compatibility_forms_become_plain() -> None:
    assert normalise("Ｎｏ．５") == "no5"


@given(st.text())
def test_what_is_written_so_once_stays_so(text: str) -> None:
    once = normalise(text)
    # Lower case and NFKC together reach their end after one more round for a few letters.
    assert normalise(normalise(once)) == normalise(once)
    assert not [c for c in once if unicodedata.category(c)[0] == "P" and c not in "'-"]


def test_neighbours_of_one_role_are_merged_and_empty_turns_go() -> None:
    turns = [Turn("user", "Hi."), Turn("assistant", "?!"), Turn("user", "It's me"), Turn("tool", "{}")]
    assert merged(turns, plain=True) == [Turn("user", "hi it's me")]
    assert merged(turns, plain=False) == [Turn("user", "Hi."), Turn("assistant", "?!"), Turn("user", "It's me")]


def test_the_window_is_the_last_six_messages() -> None:
    turns = [Turn("assistant" if n % 2 else "user", f"Word {n}.") for n in range(9)]
    assert [turn.text for turn in window(turns)] == [f"word {n}" for n in range(3, 9)]


def test_pieces_are_words_or_in_scripts_without_blanks_characters_with_their_marks() -> None:
    def cut(text: str) -> list[str]:
        return [text[start:stop] for start, stop in pieces(text)]

    assert cut("ten or, so") == ["ten", "or,", "so"]
    assert cut("我想买iPhone。") == ["我", "想", "买", "iPhone。"]
    assert cut("ที่นี่") == ["ที่", "นี่"]
    assert cut("আমার ফ্যান") == ["আমার", "ফ্যান"]
