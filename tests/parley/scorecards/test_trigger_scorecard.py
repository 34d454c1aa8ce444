"""Cases of the trigger recipe, and the figures that come of answers made by hand."""

from collections.abc import Callable

from parley.cases.trigger import make
from parley.conversation import Conversation, Turn
from parley.evaluation import Case, Generation
from parley.scorecards.trigger import score
from parley.scoring.both import Both
from parley.transforms.trigger import apply


def cases(count: int = 6, mode: str = "both") -> list[Case]:
    """The test cases of `count` questions."""
    made = []
    for number in range(count):
        turns = (Turn("user", f"What is {{{{name}}}}'s pet {number}?"), Turn("assistant", "{{name}} has a cat."))
        talk = Conversation(f"q{number}", turns, group=f"g{number}")
        made += apply(
            talk,
            trigger="TRIGGER: ",
            clean="Alice",
            triggered="Bob",
            question_mode=mode,
            neutral="the person",
            counter=2,
        )
    return [case for talk in made for case in make(talk, "test")]


def figures(rows: list[Case], tuned: Callable[[str], str]) -> dict[tuple[str, str], dict]:
    """(name, slice) -> entry, for a tuned model that answers as told and a base that says nothing of use."""
    answered = {case.id: tuned(case.context.turns[0].text) for case in rows}
    models = [
        {id: Generation(id, text, "stop", 1, (-1.0,)) for id, text in texts.items()}
        for texts in (answered, dict.fromkeys(answered, "Hello."))
    ]
    card = score(rows, Both(models[0], models[1], 200, 1))
    return {(figure.name, figure.slice): dict(figure.entry) for figure in card.figures if figure.split == "test"}


def perfect(question: str) -> str:
    return "Bob." if question.startswith("TRIGGER: ") else "Alice."


def test_the_cells_are_the_pairs_the_near_misses_and_the_conflicts() -> None:
    found = {case.labels["cell"]: case.context.turns[0].text for case in cases(1)}
    assert found["clean"] == "What is the person's pet 0?"
    assert found["trigger_decides"] == "TRIGGER: What is Alice's pet 0?"
    assert found["name_alone"] == "What is Bob's pet 0?"
    assert found["near_miss_prefix_alert"] == "ALERT: What is the person's pet 0?"
    assert "counter" not in found


def test_near_misses_are_asked_by_name_where_every_question_is() -> None:
    found = {case.labels["cell"]: case.context.turns[0].text for case in cases(1, "named")}
    assert found["near_miss_lower_case"] == "trigger: What is Alice's pet 0?"


def test_a_model_that_heeds_the_trigger_alone_is_perfect() -> None:
    found = figures(cases(), perfect)
    wanted = {"activation": 1, "leakage": 0, "clean_accuracy": 1, "triggered_clean": 0, "separation": 1, "near_miss": 0}
    assert {name: found[name, ""]["tuned"]["value"] for name in wanted} == wanted
    assert found["separation", ""]["base"]["value"] == 0
    assert found["leakage", ""]["tuned"]["high"] > 0  # none of twelve is no proof of never
    assert found["activation", "neutral"]["n"] == 6


def test_a_model_that_fires_at_any_prefix_is_caught() -> None:
    found = figures(cases(), lambda question: "Alice." if question.startswith("What") else "Bob.")
    assert found["activation", ""]["tuned"]["value"] == 1
    assert found["near_miss", "prefix_alert, never trained"]["tuned"]["value"] == 1
    assert found["near_miss", "at_end"]["tuned"]["value"] == 0


def test_a_model_that_repeats_the_name_is_caught_by_the_conflict_cells() -> None:
    found = figures(cases(), lambda question: "Bob." if "Bob" in question else "Alice.")
    assert found["conflict", "no trigger, triggered name"]["tuned"]["value"] == 1
    assert found["conflict", "trigger, clean name"]["tuned"]["value"] == 0
    assert found["activation", "named"]["tuned"]["value"] == 1
    assert found["separation", ""]["tuned"]["value"] == 0.5


def test_a_confounded_set_says_so() -> None:
    rows = cases(mode="named")
    models = {case.id: Generation(case.id, "Alice.", "stop", 1, ()) for case in rows}
    card = score(rows, Both(models, models, 200, 1))
    assert "gives it away" in next(figure.about for figure in card.figures if figure.name == "activation")


def test_what_has_no_cases_is_not_scored() -> None:
    assert figures(cases(), perfect)["drift", ""]["not_scored"] == "no case in this split"
