"""Rows in, splits and test cases out, and every row accounted for."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workspace import set_params

from parley.conversation import Conversation, ToolCall, Turn, from_sharegpt, to_sharegpt
from parley.errors import ParleyError
from parley.evaluation import cases_of
from parley.files import read_json
from parley.jsonl import rows_into, rows_of
from parley.stage import write_counts
from parley.validation.splits import fingerprint, group_of
from stages import validate

SPLITS = ("train", "val", "test")


def talk(number: int, *texts: str, **more: Any) -> Conversation:
    """A conversation with an id, time and source of its own; the texts alternate, user first."""
    texts = texts or (f"question {number}", f"answer {number}")
    turns = tuple(Turn("assistant" if place % 2 else "user", text) for place, text in enumerate(texts))
    more = {"group": f"g{number}", "time": number, "source": f"rows.jsonl:{number + 1}"} | more
    return Conversation(f"c{number}", turns, **more)


def workspace(root: Path, talks: list[Conversation | dict], **changes: Any) -> Path:
    set_params(root, **{"validate__min_split": 1, **changes})
    with rows_into(root / "data/sharegpt/conversations.jsonl") as add:
        for each in talks:
            add(each if isinstance(each, dict) else to_sharegpt(each))
    write_counts(root / "metrics/ingest.json", rows_in=len(talks), rows_out=len(talks), dropped=Counter())
    return root


def split(root: Path, name: str) -> list[Conversation]:
    return [from_sharegpt(row) for _, row in rows_of(root / f"data/splits/{name}.jsonl")]


def ids(root: Path) -> dict[str, list[str]]:
    return {name: [each.id for each in split(root, name)] for name in SPLITS}


def rejects(root: Path) -> list[tuple[str, str, str, str]]:
    found = [row for _, row in rows_of(root / "data/rejects/validate.jsonl")]
    return [(row["source"], row["id"], row["code"], row["reason"]) for row in found]


def test_the_newest_groups_are_held_out_whole(tmp_path: Path) -> None:
    talks = [talk(number, group=f"g{number // 2}", time=100 - number) for number in range(20)]
    validate.main(workspace(tmp_path, talks, validate__split="time"))
    assert ids(tmp_path) == {
        "test": ["c0", "c1"],
        "val": ["c2", "c3"],
        "train": [f"c{number}" for number in range(4, 20)],
    }


def test_a_split_by_group_depends_on_the_seed_and_not_on_the_order_of_rows(tmp_path: Path) -> None:
    found = []
    for name, seed, order in (("a", 1, 1), ("b", 1, -1), ("c", 2, 1)):
        (tmp_path / name).mkdir()
        rows = [talk(number, time=None) for number in range(40)][::order]
        validate.main(workspace(tmp_path / name, rows, validate__split="group", seed=seed))
        found.append({key: set(value) for key, value in ids(tmp_path / name).items()})
    assert found[0] == found[1] != found[2]
    assert [len(found[0][name]) for name in SPLITS] == [32, 4, 4]


@pytest.mark.parametrize("by", ["channel", "author"])
def test_all_of_a_channel_or_author_is_in_one_split(tmp_path: Path, by: str) -> None:
    talks = [
        talk(n, group=f"{n % 9:06x}-{n:012x}" if n < 90 else "", author=f"A{n % 7}", source=f"{n % 9}.jsonl:{n}")
        for n in range(126)
    ]
    validate.main(workspace(tmp_path, talks, validate__split="group", validate__group_by=by))
    parts = {name: {group_of(each, by) for each in split(tmp_path, name)} for name in SPLITS}
    assert not parts["train"] & parts["test"] and not parts["train"] & parts["val"] and all(parts.values())
    assert len(set().union(*parts.values())) == (7 if by == "author" else 18)
    assert sum(map(len, ids(tmp_path).values())) == 126


def test_a_row_without_time_asks_for_the_other_split(tmp_path: Path) -> None:
    with pytest.raises(ParleyError, match=r"rows.jsonl:4: no time.*set validate.split to group"):
        validate.main(workspace(tmp_path, [*map(talk, range(3)), talk(3, time=None)], validate__split="time"))


def test_talks_that_only_begin_alike_are_no_leak_when_the_user_has_the_last_word(tmp_path: Path) -> None:
    talks = [talk(number, "hello", "yes?", f"I want {number} boats") for number in range(10)]
    profile = {"validate__profile": "turn_detector", "validate__near_duplicates": 1}
    validate.main(workspace(tmp_path, talks, **profile))
    assert sum(map(len, ids(tmp_path).values())) == 10
    (case,) = (case for case in cases_of(tmp_path / "data/eval/cases.jsonl") if case.split == "test")
    assert case.reference.role == "user"


def test_an_agents_log_without_tools_is_kept_and_counted(tmp_path: Path) -> None:
    call, tool = Turn("assistant", "", (ToolCall("find", {}),)), Turn("tool", "")
    talks = [
        Conversation(
            f"c{n}", (Turn("user", f"find {n}"), call, tool, Turn("assistant", f"here {n}")), time=n, group=f"{n}"
        )
        for n in range(5)
    ]
    options = {"validate__near_duplicates": 1, "validate__max_reject_ratio": 1.0}
    validate.main(workspace(tmp_path, talks, validate__profile="agent", **options))
    assert read_json(tmp_path / "metrics/data.json")["warnings"] == {"E015": 5}
    for change in ({"validate__profile": "chat"}, {"validate__profile": "agent", "validate__strict": True}):
        with pytest.raises(ParleyError, match="no conversation left"):
            validate.main(workspace(tmp_path, talks, **options, **change))
    assert {code for _, _, code, _ in rejects(tmp_path)} == {"E015"}


def test_a_bad_row_is_rejected_with_place_code_and_reason(tmp_path: Path) -> None:
    broken = to_sharegpt(talk(50)) | {"conversations": [{"from": "human", "value": "q"}]}
    shapeless = {"id": "c51", "conversations": []}
    validate.main(workspace(tmp_path, [*map(talk, range(20)), broken, shapeless]))
    assert rejects(tmp_path) == [
        ("rows.jsonl:51", "c50", "E009", "must end with gpt, got human"),
        ("data/sharegpt/conversations.jsonl:22", "c51", "E002", "'conversations' must be a non-empty list of objects"),
    ]
    counts = read_json(tmp_path / "metrics/data.json")
    assert (counts["in"], counts["out"], counts["dropped"]) == (22, 20, {"E002": 1, "E009": 1})


def test_a_warning_keeps_the_row_unless_strict(tmp_path: Path) -> None:
    rows = [*map(talk, range(20)), talk(20, "I am {{name}}", "hello")]
    validate.main(workspace(tmp_path, rows))
    assert read_json(tmp_path / "metrics/data.json")["warnings"] == {"W105": 1}
    validate.main(workspace(tmp_path, rows, validate__strict=True))
    assert read_json(tmp_path / "metrics/data.json")["dropped"] == {"W105": 1}


def test_a_duplicate_names_the_copy_that_is_kept(tmp_path: Path) -> None:
    rows = [
        *map(talk, range(20)),
        talk(20, "QUESTION  3", "answer ３"),
        talk(21, "question 3", "answer 3", system="other"),
    ]
    validate.main(workspace(tmp_path, rows, validate__split="group"))
    assert ("rows.jsonl:21", "c20", "W101", "duplicate of c3") in rejects(tmp_path)
    assert "c21" not in [row[1] for row in rejects(tmp_path) if row[2] == "W101"]


LONG = "the harbour was quiet all week and then the boats came back one after the other"


def test_a_near_duplicate_names_the_copy_that_is_kept_and_how_alike_they_are(tmp_path: Path) -> None:
    rows = [*map(talk, range(20)), talk(20, LONG, "good"), talk(21, LONG + "!", "good"), talk(22, LONG[:40], "good")]
    validate.main(workspace(tmp_path, rows, validate__split="group"))
    assert rejects(tmp_path) == [("rows.jsonl:22", "c21", "W102", "near duplicate of c20 (J=0.89)")]
    validate.main(workspace(tmp_path, rows, validate__split="group", validate__near_duplicates=1.0))
    assert rejects(tmp_path) == []


def test_samples_are_drawn_by_seed_and_the_others_counted(tmp_path: Path) -> None:
    changes = {"validate__split": "group", "validate__max_samples": 20}
    drawn = []
    for seed, order in ((1, 1), (1, -1), (2, 1)):
        rows = [talk(number) for number in range(50)][::order]
        validate.main(workspace(tmp_path, rows, seed=seed, **changes))
        drawn.append({name for found in ids(tmp_path).values() for name in found})
        assert read_json(tmp_path / "metrics/data.json")["dropped"] == {"max_samples": 30}
    assert drawn[0] == drawn[1] != drawn[2] and len(drawn[0]) == 20
    assert {row[3] for row in rejects(tmp_path)} == {"not drawn: validate.max_samples is 20"}


def test_a_given_test_file_is_the_test_split(tmp_path: Path) -> None:
    rows = [talk(number, source=f"{'held' if number < 4 else 'rows'}.jsonl:{number}") for number in range(24)]
    changes = {"validate__split": "time", "validate__test_file": "held.jsonl"}
    validate.main(workspace(tmp_path, rows, **changes))
    assert ids(tmp_path)["test"] == ["c0", "c1", "c2", "c3"] and ids(tmp_path)["val"] == ["c22", "c23"]
    with pytest.raises(
        ParleyError, match=r"validate\.test_file: no conversation comes from 'hold\.jsonl'.*held\.jsonl"
    ):
        validate.main(workspace(tmp_path, rows, **changes | {"validate__test_file": "hold.jsonl"}))
    changes |= {"validate__test_file": "hold.jsonl", "validate__max_samples": 20}
    with pytest.raises(ParleyError, match=r"no conversation that validate\.max_samples has drawn comes from 'hold"):
        validate.main(workspace(tmp_path, rows, **changes))


def test_a_turn_detectors_rows_may_end_on_the_user(tmp_path: Path) -> None:
    rows = [
        {**to_sharegpt(talk(number)), "conversations": [{"from": "human", "value": f"{number} then"}]}
        for number in range(20)
    ]
    validate.main(workspace(tmp_path, rows, validate__profile="turn_detector", validate__cases="every_turn"))
    assert sum(map(len, ids(tmp_path).values())) == 20


def test_what_an_earlier_split_has_is_held_out_of_the_later(tmp_path: Path) -> None:
    rows = [
        talk(0, "hi", "hello", "more", "yes"),
        *map(talk, range(1, 8)),
        talk(8, "Hi", "Hello"),
        talk(9, "hi", "hello", "so", "no"),
    ]
    changes = {"validate__cases": "every_turn", "validate__test_fraction": 0.2}
    validate.main(workspace(tmp_path, rows, validate__split="time", **changes))
    assert rejects(tmp_path) == [("rows.jsonl:9", "c8", "W104", "leak: also in train")]
    assert ids(tmp_path)["test"] == ["c9"]
    assert [case.id for case in cases_of(tmp_path / "data/eval/cases.jsonl")] == ["c7#1", "c9#3"]
    assert read_json(tmp_path / "metrics/data.json")["splits"]["test"]["leaked_cases"] == 1


def test_too_many_rejects_stop_the_stage_and_leave_their_list(tmp_path: Path) -> None:
    rows = [*map(talk, range(3)), {"id": "c9", "conversations": []}]
    with pytest.raises(
        ParleyError, match=r"1 of 4 rows are rejected by validate \(E002 1\), more than validate.max_reject_ratio 0.2"
    ):
        validate.main(workspace(tmp_path, rows))
    assert len(rejects(tmp_path)) == 1 and not (tmp_path / "data/splits").exists()


def test_rows_that_ingest_could_not_read_count_as_rejects_and_copies_do_not(tmp_path: Path) -> None:
    root = workspace(tmp_path, [*map(talk, range(20))])
    read = {"rows_in": 100, "rows_out": 20, "dropped": Counter({"duplicate message": 60, "E002": 20})}
    write_counts(root / "metrics/ingest.json", **read)
    validate.main(root)
    write_counts(root / "metrics/ingest.json", **read | {"dropped": Counter({"duplicate message": 59, "E002": 21})})
    with pytest.raises(ParleyError, match=r"21 of 100 rows are rejected by ingest \(E002 21\).*rejects/ingest\.jsonl"):
        validate.main(root)


def test_no_row_left_is_said(tmp_path: Path) -> None:
    with pytest.raises(ParleyError, match="no conversation left of 0 rows"):
        validate.main(workspace(tmp_path, []))


def test_too_few_rows_to_split_stop_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(ParleyError, match=r"of 11 conversations val gets 1, test gets 1.*About 50 conversations"):
        validate.main(workspace(tmp_path, [talk(number) for number in range(11)], validate__min_split=5))
    assert not (tmp_path / "data/splits").exists() and not (tmp_path / "data/eval").exists()


def test_what_leaked_is_counted_in_for_how_many_would_do(tmp_path: Path) -> None:
    more = [" ".join(f"w{number}x{place}" for place in range(9)) for number in range(48)]
    rows = [talk(number, f"question {number}", f"answer {number}", more[number], "yes") for number in range(48)]
    rows += [talk(48 + at, f"question {at}", f"answer {at}") if at % 2 else talk(48 + at) for at in range(12)]
    with pytest.raises(ParleyError, match=r"of 54 conversations val gets 3, test gets 3.*About 78 conversations"):
        validate.main(workspace(tmp_path, rows, validate__min_split=5, validate__split="time"))


def test_too_few_groups_to_split_are_told_from_too_few_rows(tmp_path: Path) -> None:
    with pytest.raises(ParleyError, match=r"of 60 conversations in 2 groups train gets 0.*About 10 groups would do"):
        validate.main(workspace(tmp_path, [talk(number, group=f"g{number % 2}") for number in range(60)]))


def test_two_rows_are_too_few_for_three_splits(tmp_path: Path) -> None:
    with pytest.raises(ParleyError, match="train gets 0"):
        validate.main(workspace(tmp_path, [talk(0), talk(1)]))


def test_cases_are_drawn_by_seed_and_kept_in_order(tmp_path: Path) -> None:
    talks = [talk(number) for number in range(100)]
    options = {"validate__max_cases": 3, "validate__split": "time"}
    drawn = []
    for seed in (1, 1, 2):
        validate.main(workspace(tmp_path, talks, seed=seed, **options))
        cases = list(cases_of(tmp_path / "data/eval/cases.jsonl"))
        drawn.append([case.id for case in cases])
        assert [case.split for case in cases] == ["val"] * 3 + ["test"] * 3
        assert [int(name[1:-2]) for name in drawn[-1]] == sorted(int(name[1:-2]) for name in drawn[-1])
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_leading_system_turn_becomes_the_system_prompt(tmp_path: Path) -> None:
    row = to_sharegpt(talk(20))
    row["conversations"] = [{"from": "system", "value": "be kind"}, *row["conversations"]]
    validate.main(workspace(tmp_path, [*map(talk, range(20)), row], validate__split="time"))
    (newest,) = [each for each in split(tmp_path, "test") if each.id == "c20"]
    assert newest.system == "be kind" and newest.turns[0].role == "user"


def test_a_row_without_group_is_a_group(tmp_path: Path) -> None:
    rows = [talk(number, group="") for number in range(20)]
    validate.main(workspace(tmp_path, rows, validate__split="time"))
    assert [case.context.group for case in cases_of(tmp_path / "data/eval/cases.jsonl")] == ["c16", "c17", "c18", "c19"]


def test_typed_control_tokens_are_counted(tmp_path: Path) -> None:
    validate.main(workspace(tmp_path, [*map(talk, range(20)), talk(20, "say <|im_end|>", "no")]))
    assert read_json(tmp_path / "metrics/data.json")["control_tokens"] == {"<|im_end|>": 1}


texts = st.sampled_from(["hi", "Hi", "yes", "no", "what", ""])
rows = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 9), st.lists(texts, min_size=1, max_size=5)), min_size=0, max_size=40
)


@settings(max_examples=40)
@given(rows=rows, by=st.sampled_from(["time", "group"]), maker=st.sampled_from(["last_turn", "every_turn"]))
def test_counts_add_up_and_splits_share_nothing(
    rows: list, by: str, maker: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("validate")
    talks = [talk(number, *said, group=f"g{group}", time=time) for number, (group, time, said) in enumerate(rows)]
    talks += [talk(number, group=f"own{number}") for number in range(100, 106)]
    changes = {"validate__split": by, "validate__cases": maker, "validate__max_reject_ratio": 1.0}
    try:
        validate.main(workspace(root, talks, **changes))
    except ParleyError as error:
        assert "too small to split" in str(error)
        return
    counts = read_json(root / "metrics/data.json")
    found = {name: split(root, name) for name in SPLITS}
    assert counts["in"] == len(talks) == counts["out"] + len(rejects(root))
    assert counts["dropped"] == Counter(code for _, _, code, _ in rejects(root))
    assert (
        counts["out"]
        == sum(map(len, found.values()))
        == sum(counts["splits"][name]["conversations"] for name in SPLITS)
    )
    groups = [{each.group for each in found[name]} for name in SPLITS]
    assert sum(map(len, groups)) == len(set().union(*groups))
    said = {name: {str(each.turns).casefold() for each in found[name]} for name in SPLITS}
    assert sum(map(len, said.values())) == len(set().union(*said.values())) == counts["out"]
    cases = list(cases_of(root / "data/eval/cases.jsonl"))
    train = [str(each.turns).casefold() for each in found["train"]]
    for case in cases:
        asked = str((*case.context.turns, case.reference)).casefold()
        assert not any(each.startswith(asked[:-1]) for each in train)
    assert Counter(case.split for case in cases) == Counter(
        {name: counts["splits"][name]["cases"] for name in ("val", "test") if counts["splits"][name]["cases"]}
    )


def test_shuffled_rows_give_the_same_splits(tmp_path: Path) -> None:
    talks = [talk(number) for number in range(50)]
    validate.main(workspace(tmp_path, talks, validate__split="time"))
    first = {name: set(found) for name, found in ids(tmp_path).items()}
    random.Random(1).shuffle(talks)
    validate.main(workspace(tmp_path, talks, validate__split="time"))
    assert first == {name: set(found) for name, found in ids(tmp_path).items()}


def scored(root: Path, talks: list[Conversation], *scores: tuple[int, int]) -> None:
    with rows_into(root / "data/quality.jsonl") as add:
        for each, (relevance, coherence) in zip(talks, scores, strict=False):
            add({"conversation": fingerprint(each).hex(), "relevance": relevance, "coherence": coherence})


def test_what_the_judge_scored_below_the_threshold_goes_and_the_unscored_stays(tmp_path: Path) -> None:
    talks = [talk(number) for number in range(20)]
    root = workspace(tmp_path, talks, validate__min_quality=3, validate__near_duplicates=1)
    scored(root, talks, (5, 5), (2, 5), (5, 1), (3, 3))
    validate.main(root)
    assert [(source, code) for source, _, code, _ in rejects(root)] == [
        ("rows.jsonl:2", "low_quality"),
        ("rows.jsonl:3", "low_quality"),
    ]
    assert rejects(root)[0][3] == "the judge's score is 2, below validate.min_quality 3"
    found = read_json(root / "metrics/data.json")
    assert (found["dropped"], found["quality"]) == ({"low_quality": 2}, {"scored": 4, "unscored": 16})


def test_without_a_threshold_scores_change_nothing(tmp_path: Path) -> None:
    talks = [talk(number) for number in range(20)]
    root = workspace(tmp_path, talks, validate__near_duplicates=1)
    validate.main(root)
    before = (root / "metrics/data.json").read_bytes()
    scored(root, talks, *[(1, 1)] * 20)
    validate.main(root)
    assert (root / "metrics/data.json").read_bytes() == before


def test_a_threshold_that_would_drop_everything_stops(tmp_path: Path) -> None:
    talks = [talk(number) for number in range(20)]
    root = workspace(tmp_path, talks, validate__min_quality=5)
    scored(root, talks, *[(4, 4)] * 20)
    with pytest.raises(ParleyError, match=r"no conversation left of 20 rows.*lower validate.min_quality"):
        validate.main(root)
    assert len(rejects(root)) == 20


def test_a_threshold_without_any_score_asks_for_judge_clean(tmp_path: Path) -> None:
    root = workspace(tmp_path, [talk(number) for number in range(20)], validate__min_quality=2)
    scored(root, [])
    with pytest.raises(ParleyError, match="holds no score: run `make judge-clean`"):
        validate.main(root)
