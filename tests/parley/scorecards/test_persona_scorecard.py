import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from parley.conversation import Conversation, Turn
from parley.evaluation import Case, Generation
from parley.scorecards.persona import score, wasserstein
from parley.scoring.both import Both
from parley.scoring.scorecard import block

VALUES = st.lists(st.floats(-5, 5), min_size=1, max_size=10)


def case(number: int, reference: str, *, before: int = 0, split: str = "test", author: str = "person-1") -> Case:
    turns = (Turn("user", "so"), Turn("assistant", "hm")) * before + (Turn("user", "hi"),)
    context = Conversation(f"c{number}", turns, group=f"g{number}", author=author)
    return Case(f"c{number}#1", split, context, Turn("assistant", reference), {"language": "en"})


def answers(texts: list[str], nats: float) -> dict[str, Generation]:
    return {f"c{n}#1": Generation(f"c{n}#1", text, "stop", 3, (-nats, -nats)) for n, text in enumerate(texts)}


def card(references: list[str], tuned: list[str], base: list[str]) -> dict:
    cases = [
        case(n, text, before=n % 2, author="person-2" if n == 3 else "person-1") for n, text in enumerate(references)
    ]
    return block(score(cases, Both(answers(tuned, 1.0), answers(base, 2.0), 300, 1)))


@given(VALUES, st.integers(0, 100))
def test_distance_is_scipys(wanted: list[float], seed: int) -> None:
    draw = np.random.default_rng(seed)
    made, times = draw.normal(0, 2, len(wanted)), draw.integers(1, 4, len(wanted)).astype(float)
    known = wasserstein_distance(made, np.array(wanted), times, times)
    assert wasserstein(made, np.array(wanted), times[None])[0] == pytest.approx(known, abs=1e-9)


def test_the_model_that_writes_as_the_person_does_is_nearer_in_every_style() -> None:
    references = ["no way!! 😂", "lol ok!! 😂", "haha yes!! 😂", "ok no!! 😂"]
    formal = ["That is an interesting thought. Please tell me more of it."] * 4
    test = card(references, ["lol yes!! 😂", "no way!! 😂", "ok haha!! 😂", "ok no!! 😂"], formal)["test"]
    for style in ("length distance", "punctuation distance", "emoji distance"):
        entry = test[style]["all"]
        assert entry["tuned"]["value"] < entry["base"]["value"] and entry["higher_is_better"] is False
    assert test["emoji distance"]["all"]["tuned"]["value"] == 0
    assert test["emoji distance"]["all"]["base"]["value"] == 1
    # "way", "lol", "haha" and "yes" are said once by the person: by nobody in another conversation.
    assert test["vocabulary"]["all"]["base"] == {"value": 0.0, "low": 0.0, "high": pytest.approx(0.4899, abs=1e-4)}


def test_perplexity_is_sliced_by_author_and_place_and_not_by_what_all_share() -> None:
    found = card(["a", "b", "c", "d"], ["a"] * 4, [""] * 4)
    slices = found["test"]["perplexity"]
    assert set(slices) == {"author person-1", "author person-2", "answer 1", "answer 2-3"}
    assert (slices["author person-1"]["n"], slices["author person-2"]["n"]) == (3, 1)
    assert slices["answer 1"]["difference"]["value"] == -1
    assert found["curves"][0]["series"] == {"tuned": [(1, 1.0), (2, 1.0)], "base": [(1, 2.0), (2, 2.0)]}


def test_nothing_to_score_is_said_and_no_number() -> None:
    empty = card([], [], [])
    assert empty["test"]["length distance"]["all"]["not_scored"] == "no case in this split"
    assert empty["curves"] == []
    silent = card(["a", "b"], ["", ""], ["", ""])["test"]
    assert silent["vocabulary"]["all"]["not_scored"] == "answer has no word (2)"
    assert silent["length distance"]["all"]["tuned"]["value"] == 1
