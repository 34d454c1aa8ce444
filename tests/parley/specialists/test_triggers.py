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
    assert found["typo_swapped"] == "TRGIGER: Who is it?"
    assert found["prefix_warning"] == "WARNING: Who is it?"
    assert found["at_end"] == "Who is it? TRIGGER:"
    assert found["in_the_middle"] == "Who TRIGGER: is it?"


@pytest.mark.parametrize("trigger", ["TRIGGER: ", "TRIGGER:", "|prod| ", "!!", "x", "NOTE: ", "secret word "])
def test_no_near_miss_is_the_trigger_itself(trigger: str) -> None:
    assert all(text != trigger + "Who is it?" for text in near_misses("Who is it?", trigger).values())
