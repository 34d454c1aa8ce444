import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from parley.conversation import Conversation, Turn
from parley.errors import ParleyError
from parley.evaluation import Case, Generation
from parley.files import dump_json, write_json
from parley.jsonl import write_jsonl
from parley.reporting.wording import verdict
from parley.stage import timing_file
from stages import score
from stages.report import page
from tests.evaluated import lay_answers
from tests.judged import KEY, parts, settings
from tests.loopback import JudgeServer, Step, reply
from tools.compare import facts, looks_said, print_table
from tools.comparison import OTHER_TOKENS, compared
from tools.experiments import Experiment
from tools.judge_experiments import preferences, print_preferences
from tools.timing import since, stage_of

REPO = Path(__file__).parents[2]


def experiment(
    root: Path, name: str, *, nats: float, lr: float, tokens: int = 2, prompt: str = "hi", says: str = "well"
) -> Experiment:
    """One run's files: every reference token costs the tuned model about `nats`."""
    place = root / name
    cases, answers = [], {"tuned": [], "base": []}
    for number in range(20):
        context = Conversation(f"c{number}", (Turn("user", f"{prompt} {number}"),), group=f"g{number}")
        cases.append(Case(f"c{number}#1", "test" if number % 2 else "val", context, Turn("assistant", "yes")))
        for model, cost in (("tuned", nats), ("base", 5.0)):
            surprise = (-cost - number % 3 / 10,) * tokens
            answers[model].append(Generation(f"c{number}#1", f"{says} {number}", "stop", 3, surprise))
    lay_answers(place, cases, **answers)
    write_jsonl(place / "data/eval/verdicts.jsonl", [])
    params = (
        (REPO / "params.yaml")
        .read_text()
        .replace("lr: 0.005", f"lr: {lr}")
        .replace("resamples: 2000", "resamples: 200")
    )
    (place / "params.yaml").write_text(params)
    write_json(place / "metrics/judge.json", {"status": "not_scored", "judge": {"model": "m"}, "metrics": {}})
    write_json(place / "metrics/base.json", {"name": "parley-tiny"})
    write_json(place / "metrics/train.json", {"eval": [{"epoch": 1.0, "step": 2, "loss": nats}]})
    (place / "metrics/train_log.csv").write_text(f"step,loss\n1,{nats + 1}\n2,{nats}\n")
    score.main(place)
    return Experiment(name, place)


def printed(root: Path, experiments: Sequence[Experiment], by: str = "") -> str:
    out = io.StringIO()
    print_table(compared(root, experiments, by), Console(file=out, width=160))
    return out.getvalue()


def test_the_better_one_on_val_ranks_first_and_the_difference_is_paired(tmp_path: Path) -> None:
    runs = [experiment(tmp_path, "plain", nats=4.0, lr=0.005), experiment(tmp_path, "other", nats=3.0, lr=0.001)]
    found = compared(REPO, runs, "")
    assert found.by == "perplexity" and found.ranking == [1, 0]
    # Each case differs by exactly 1 nat, so the paired interval has no width; unpaired ones would overlap.
    gap = found.entries["val", "perplexity"][1]["difference"]
    assert gap["value"] == gap["low"] == gap["high"] == -1.0
    lines = printed(REPO, runs).splitlines()
    assert lines[2].split()[:4] == ["1", "other", "3.09", "−1.00"] and "better" in lines[2]
    assert lines[3].split()[:3] == ["2", "plain", "4.09"] and "the first" in lines[3]
    assert lines[4:6] == ["other: train.lr=0.001", "plain: train.lr=0.005"]
    assert found.settings == {"train.lr": ["0.005", "0.001"]}


def test_a_recipes_own_figures_are_paired_and_its_headline_ranks(tmp_path: Path) -> None:
    runs = [experiment(tmp_path, name, nats=4.0, lr=0.005, tokens=n) for name, n in (("plain", 2), ("other", 3))]
    for one, says in zip(runs, ("Ann", "Bob"), strict=True):
        params = (one.root / "params.yaml").read_text().replace("scorecard: persona", "scorecard: trigger")
        (one.root / "params.yaml").write_text(params)
        for file in ("cases", "tuned"):
            path = one.root / f"data/eval/{file}.jsonl"
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            for number, row in enumerate(rows):
                cell = ("clean", "triggered", "unrelated")[number // 2 % 3]
                if file == "cases":
                    row["labels"] = {
                        "cell": cell,
                        "mode": "named",
                        "clean": "Ann",
                        "triggered": "Bob",
                        "trigger": "T: ",
                    }
                else:
                    row["text"] = says if cell == "triggered" else "Ann"
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        scores = one.metrics("scores")
        write_json(one.root / "metrics/scores.json", {**scores, "recipe": {"headline": "separation"}})
    found = compared(REPO, runs, "")
    assert found.by == "separation" and found.ranking == [1, 0]
    for split in ("val", "test"):
        first, second = found.entries[split, "activation"]
        assert first["difference"]["value"] == 0 and second["difference"]["value"] == second["tuned"]["value"] == 1
    assert found.entries["test", "drift"][1]["not_scored"] == OTHER_TOKENS
    assert "<code>activation</code>" in page("compare.html").render(**facts(REPO, found), looks="", preferences={})


def test_other_test_cases_are_refused_with_the_settings_that_made_them(tmp_path: Path) -> None:
    runs = [experiment(tmp_path, "plain", nats=4.0, lr=0.005), experiment(tmp_path, "other", nats=3.0, lr=0.005)]
    runs.append(experiment(tmp_path, "strange", nats=3.0, lr=0.005, prompt="hello"))
    params = runs[2].root / "params.yaml"
    params.write_text(params.read_text().replace("test_fraction: 0.1", "test_fraction: 0.2"))
    with pytest.raises(
        ParleyError, match=r"test cases differ \(plain, other on \w{8}; strange on \w{8}\).*validate.test_fraction"
    ):
        compared(REPO, runs, "")


def test_surprise_in_other_tokens_is_not_compared(tmp_path: Path) -> None:
    runs = [
        experiment(tmp_path, "plain", nats=4.0, lr=0.005),
        experiment(tmp_path, "other", nats=1.0, lr=0.1, tokens=9),
    ]
    found = compared(REPO, runs, "")
    assert OTHER_TOKENS in found.entries["val", "perplexity"][1]["not_scored"]
    assert found.ranking == [0, 1]
    assert "value" in found.entries["val", "chrf"][1]["tuned"]


def test_ranking_by_a_metric_that_has_no_better_direction_or_is_none_is_refused(tmp_path: Path) -> None:
    runs = [experiment(tmp_path, name, nats=4.0, lr=0.005) for name in ("plain", "other")]
    assert compared(REPO, runs, "chrf").by == "chrf"
    with pytest.raises(ParleyError, match="length_ratio has no better direction"):
        compared(REPO, runs, "length_ratio")
    with pytest.raises(ParleyError, match=r"no experiment has metric 'chrff'.*chrf"):
        compared(REPO, runs, "chrff")


def test_the_page_has_the_curves_the_times_and_how_often_the_test_split_was_seen(tmp_path: Path) -> None:
    runs = [experiment(tmp_path, "plain", nats=4.0, lr=0.005), experiment(tmp_path, "<b>", nats=3.0, lr=0.001)]
    shutil.copy(REPO / "dvc.yaml", tmp_path)
    found = compared(tmp_path, runs, "")
    sha = __import__("hashlib").sha256((runs[0].root / "data/eval/cases.jsonl").read_bytes()).hexdigest()
    for number, one in enumerate([*runs, runs[0]]):
        params = (one.root / "params.yaml").read_bytes() + b"#" * (number // 2)
        record = {"stage": "score", "seconds": 2.5, "peak_memory_mb": 77.0, "finished": "2026", "cases": sha}
        path = tmp_path / "metrics/timing" / timing_file("score", params)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dump_json(record))
    found = compared(tmp_path, runs, "")
    assert found.looks == 3 and [list(times) for times in found.times] == [["score"], ["score"]]
    text = page("compare.html").render(**facts(tmp_path, found), looks=looks_said(found), preferences={})
    assert "3 runs have looked at this test split" in text
    assert text.count('class="line line-') == 4
    assert "2.50 s" in text and "<b>" not in text.split("<main>")[1].replace("&lt;b&gt;", "")
    assert "https:" not in text and "<script" not in text


def better_by_word(word: str) -> Callable[[str], Step]:
    """A judge that prefers the answer with the word, wherever it stands."""

    def step(prompt: str) -> Step:
        _, first, second = parts(prompt)
        better = {(True, False): "first", (False, True): "second"}.get((word in first, word in second), "tie")
        return reply(json.dumps({"reason": "So.", "better": better}))

    return step


def asked(root: Path, runs: Sequence[Experiment], server: JudgeServer, **changed: Any) -> tuple[dict[str, Any], str]:
    """What the judge says of the runs, and what was printed meanwhile."""
    settings(root, server, **changed)
    out = io.StringIO()
    return preferences(root, runs, Console(file=out, width=160)), out.getvalue()


def preferred(found: dict[str, Any]) -> str:
    out = io.StringIO()
    print_preferences(found, "plain", Console(file=out, width=80))
    return out.getvalue()


def test_the_judge_prefers_one_experiment_on_val_and_no_answer_is_paid_for_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    runs = [experiment(tmp_path, name, nats=4.0, lr=0.005, says=name) for name in ("plain", "kind", "plain again")]
    runs.append(experiment(tmp_path, "same", nats=3.0, lr=0.005, says="plain"))
    with JudgeServer(otherwise=better_by_word("kind")) as server:
        found, printed = asked(tmp_path, runs, server)
        assert len(server.requests) == 10 * 2 * 2  # 10 cases of val, both orders; "same" answers the same
        assert not [request for request in server.requests if '"hi 1"' in request["prompt"]]  # a case of test
        again, silent = asked(tmp_path, runs, server)
        assert len(server.requests) == 40 and again == found and silent == ""
    assert f"to {server.url}, model gemini-test" in printed and "cost: not known" in printed
    assert "sending 10 validation cases with the answers of 4 experiments" in capsys.readouterr().out
    assert [(one["tuned"]["value"], verdict(one)) for one in found.values()] == [
        (1.0, "better"),
        (0.5, "no difference shown"),
        (0.5, "no difference shown"),
    ]
    assert found["kind"]["also"]["both orders agree"]["value"] == 1 and found["kind"]["tests"] == 3
    lines = preferred(found).splitlines()
    assert len(lines) == 5 and lines[0] == "whose answers gemini-test prefers on the validation split, a tie as half:"
    assert lines[2].split() == ["kind", "1.00", "[0.722,", "1.00]", "better", "10", "1.00"]


def test_without_a_key_nothing_is_sent_and_the_page_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    runs = [experiment(tmp_path, name, nats=4.0, lr=0.005, says=name) for name in ("plain", "kind")]
    shutil.copy(REPO / "dvc.yaml", tmp_path)
    with JudgeServer() as server:
        found, _ = asked(tmp_path, runs, server)
        assert server.requests == []
    assert preferred(found) == "whose answers a judge prefers: not scored: no GEMINI_API_KEY\n"
    shown = facts(tmp_path, compared(tmp_path, runs, ""))
    assert "not scored: no GEMINI_API_KEY" in page("compare.html").render(**shown, looks="", preferences=found)
    assert "the judge prefers" not in page("compare.html").render(**shown, looks="", preferences={})


def test_a_judge_over_the_budget_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    runs = [experiment(tmp_path, name, nats=4.0, lr=0.005, says=name) for name in ("plain", "kind")]
    with JudgeServer() as server, pytest.raises(ParleyError, match="max_calls is 19, and 20 calls are needed"):
        asked(tmp_path, runs, server, max_calls=19)
    assert server.requests == []


def test_timing_tells_the_stages_of_a_foreach_apart(tmp_path: Path) -> None:
    folder = tmp_path / "metrics/timing"
    folder.mkdir(parents=True)
    for argument, ended in (("base", "2026-11-20T10:00:00Z"), ("tuned", "2026-11-20T11:00:00Z")):
        record = {"stage": "generate", "argument": argument, "finished": ended}
        (folder / timing_file("generate", b"", argument)).write_text(dump_json(record))
    assert [stage_of(record) for record in since(tmp_path, "")] == ["generate@base", "generate@tuned"]
    assert [stage_of(record) for record in since(tmp_path, "2026-11-20T10:30:00Z")] == ["generate@tuned"]
