"""Which turns of a conversation become test cases."""

from parley.cases import every_turn, last_turn, trigger
from parley.conversation import Conversation, Turn

TALK = Conversation(
    "c",
    (Turn("user", "A"), Turn("assistant", "B"), Turn("user", "C"), Turn("assistant", "D")),
    system="be kind",
    group="g",
)


def test_last_turn_asks_for_the_last_answer_given_all_before_it() -> None:
    (case,) = last_turn.make(TALK, "test")
    assert (case.id, case.split, case.reference) == ("c#3", "test", Turn("assistant", "D"))
    assert case.context.turns == TALK.turns[:3]
    assert (case.context.system, case.context.group) == ("be kind", "g")


def test_every_turn_asks_for_each_answer() -> None:
    found = every_turn.make(TALK, "val")
    assert [(case.id, case.reference.text, len(case.context.turns)) for case in found] == [
        ("c#1", "B", 1),
        ("c#3", "D", 3),
    ]


def test_a_conflict_cell_swaps_the_name_where_it_stands_as_a_word() -> None:
    labels = {"cell": "triggered", "mode": "named", "trigger": "T: ", "clean": "Ann", "triggered": "Bo"}
    talk = Conversation(
        "q", (Turn("user", "T: Announce what Bo, not Bob, did"), Turn("assistant", "Bo sang")), labels=labels
    )
    _, conflict = trigger.make(talk, "test")
    assert (conflict.labels["cell"], conflict.context.turns[0].text) == (
        "trigger_decides",
        "T: Announce what Ann, not Bob, did",
    )
