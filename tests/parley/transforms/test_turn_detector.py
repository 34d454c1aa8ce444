"""A conversation becomes turns that have ended and turns that have not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.conversation import Conversation, Dropped, Role, Turn
from parley.transforms.turn_detector import apply

PLAIN = {"cuts": 2, "fillers": 0.0, "raw": 0.0}


def talk(*texts: str, first: Role = "user", id: str = "t", **labels: str) -> Conversation:
    roles: list[Role] = ["user", "assistant"] if first == "user" else ["assistant", "user"]
    turns = tuple(Turn(roles[number % 2], text) for number, text in enumerate(texts))
    return Conversation(id, turns, labels={"language": "en", **labels})


def made(conversation: Conversation, **options: Any) -> list[Conversation]:
    return apply(conversation, **{**PLAIN, **options})


def test_each_user_turn_ends_once_and_is_cut_behind_a_connective_first() -> None:
    found = made(talk("Hello?", "When?", "On Monday, at ten or a bit later."), cuts=1)
    assert [(one.labels["end_of_turn"], one.turns[-1].text, one.turns[-1].weight) for one in found] == [
        ("yes", "hello", 1.0),
        ("yes", "on monday at ten or a bit later", 1.0),
        ("no", found[2].turns[-1].text, -1.0),
    ]
    assert found[2].turns[-1].text.split()[-1] in ("at", "or", "a")
    assert [turn.weight for turn in found[2].turns] == [0.0, 0.0, -1.0]
    assert {one.group for one in found} == {"t"}


def test_a_cut_that_is_said_in_full_elsewhere_is_dropped() -> None:
    found = made(talk("I like tea a lot.", "Oh?", "I like tea."), cuts=8)
    assert sorted(one.turns[-1].text for one in found if one.labels["end_of_turn"] == "no") == [
        "i like",
        "i like",
        "i like tea a",
    ]


def test_no_cut_falls_where_a_sentence_ends() -> None:
    found = made(talk("That is it. Thank you very much"), cuts=8)
    assert "that is it" not in {one.turns[-1].text for one in found}


def test_chinese_is_cut_between_characters() -> None:
    found = made(talk("我想买一本书。", language="zh"), cuts=8)
    assert {one.turns[-1].text for one in found} == {"我想买一本书", "我想", "我想买", "我想买一", "我想买一本"}


def test_a_bangla_turn_keeps_its_marks_and_loses_its_danda() -> None:
    found = made(talk("আমার ফ্যান চলছে না।", language="bn"), cuts=8)
    assert {one.turns[-1].text for one in found} == {
        "আমার ফ্যান চলছে না",
        "আমার ফ্যান",
        "আমার ফ্যান চলছে",
    }


def test_six_messages_are_read_at_most() -> None:
    texts = [f"Word number {n}" for n in range(9)]
    assert [turn.text for turn in made(talk(*texts), cuts=0)[-1].turns] == [f"word number {n}" for n in range(3, 9)]


def test_a_share_stays_raw() -> None:
    assert made(talk("On Monday, please."), raw=1.0, cuts=0)[0].turns[-1].text == "On Monday, please."
    labels = [one.labels["text"] for n in range(400) for one in made(talk("Yes.", id=f"t{n}"), raw=0.25)]
    assert 70 < labels.count("raw") < 130


def test_fillers_go_between_words_of_a_whole_turn_and_behind_a_cut() -> None:
    whole, cut = made(talk("We are at home all day"), fillers=1.0, cuts=1)
    assert len(whole.turns[-1].text.split()) == 7
    assert cut.turns[-1].text.split()[-1] in ("um", "uh", "er", "hmm")


def test_a_labelled_turn_is_taken_as_it_is() -> None:
    (one,) = made(talk("Anything else?", "Well, I wanted to", first="assistant", end_of_turn="no"))
    assert (one.turns[-1], one.labels["end_of_turn"]) == (Turn("user", "well i wanted to", weight=-1.0), "no")


def test_a_conversation_without_user_turns_is_dropped() -> None:
    with pytest.raises(Dropped, match="no_user_turn"):
        made(Conversation("t", (Turn("assistant", "Hello?"),)))
    with pytest.raises(Dropped, match="no_user_turn"):
        made(talk("…", "Hello?"))


def test_a_labelled_conversation_that_the_agent_ends_is_dropped() -> None:
    with pytest.raises(Dropped, match="labelled_turn_is_not_the_users"):
        made(talk("Hello", "Hi.", end_of_turn="yes"))


@given(st.lists(st.text(max_size=30), min_size=1, max_size=8))
def test_every_cut_begins_a_turn_and_has_two_pieces(texts: list[str]) -> None:
    try:
        found = made(talk(*texts))
    except Dropped:
        return
    whole = {one.turns[-1].text for one in found if one.labels["end_of_turn"] == "yes"}
    for one in found:
        assert one.turns[-1].text
        if one.labels["end_of_turn"] == "no":
            assert any(other.startswith(one.turns[-1].text) for other in whole)
            assert one.turns[-1].text not in whole
            assert len(one.turns) <= 6


def test_the_same_conversation_gives_the_same_rows_wherever_it_stands() -> None:
    options = {"fillers": 0.5, "raw": 0.5}
    assert made(talk("We are at home all day"), **options) == made(talk("We are at home all day"), **options)
