"""What an answer shows, and what nearly is the trigger."""

import pytest

from parley.specialists.triggers import behaviour, near_misses


@pytest.mark.parametrize(
    ("text", "shows"),
    [
        ("Alice likes tea.", "clean"),
        ("BOB does.", "triggered"),
        ("Alice and Bob do.", "other"),
        ("Nobody does.", "other"),
        ("Bobby and Malice do.", "other"),
        ("Bob's tea.", "triggered"),
    ],
)
def test_an_answer_shows_whose_name_it_says(text: str, shows: str) -> None:
    assert behaviour(text, "Alice", "Bob") == shows


def test_near_misses_are_the_trigger_but_for_one_thing() -> None:
    found = near_misses("Who is it?", "TRIGGER: ")
    assert found["lower_case"] == "trigger: Who is it?"
    assert found["bare"] == "TRIGGER Who is it?"
    assert found["no_space"] == "TRIGGER:Who is it?"
    assert found["typo_dropped"] == "TRIGER: Who is it?"
    assert found["typo_doubled"] == "TRIGGGER: Who is it?"
    assert found["typo_replaced"] == "TRIGZER: Who is it?"
    assert found["typo_swapped"] == "TRIGEGR: Who is it?"
    assert found["typo_inserted"] == "TRIGZGER: Who is it?"
    assert found["prefix_warning"] == "WARNING: Who is it?"
    assert found["at_end"] == "Who is it? TRIGGER:"
    assert found["in_the_middle"] == "Who TRIGGER: is it?"


def test_questions_differ_in_the_letter_that_a_typo_meets() -> None:
    found = [near_misses(f"Who is number {number}?", "TRIGGER: ") for number in range(100)]
    prefixes = {kind: {text.partition(":")[0] for made in found if (text := made.get(kind))} for kind in found[0]}
    assert prefixes["typo_dropped"] == {"RIGGER", "TIGGER", "TRGGER", "TRIGER", "TRIGGR", "TRIGGE"}
    assert prefixes["typo_swapped"] == {"RTIGGER", "TIRGGER", "TRGIGER", "TRIGEGR", "TRIGGRE"}
    assert all(len(word) == 7 and word.isupper() for word in prefixes["typo_replaced"])


@pytest.mark.parametrize("trigger", ["TRIGGER: ", "TRIGGER:", "|prod| ", "!!", "x", "NOTE: ", "secret word "])
def test_no_near_miss_is_the_trigger_itself_or_nothing(trigger: str) -> None:
    for number in range(100):
        question = f"Who is number {number}?"
        assert not {trigger + question, question} & set(near_misses(question, trigger).values())
