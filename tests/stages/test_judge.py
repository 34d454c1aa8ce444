"""The judge stage under the real google-generativeai client, against a scripted server."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from parley.errors import ParleyError
from stages import judge
from tests.judged import KEY, by_content, eval_files, judge_cases, outputs, result, settings, verdicts
from tests.loopback import JudgeServer, reply, status, verdict

pytestmark = pytest.mark.usefixtures("judge_key")


def test_every_test_case_is_judged_once_and_a_second_run_asks_nothing(tmp_path: Path) -> None:
    eval_files(tmp_path, 5)
    with JudgeServer(otherwise=by_content) as server:
        settings(tmp_path, server, metrics=["correctness", "coherence"])
        judge.main(tmp_path)
        assert len(server.requests) == 5 * 2 * 2
        assert {request["path"] for request in server.requests} == {"/v1beta/models/gemini-test:generateContent"}
        first = outputs(tmp_path)
        judge.main(tmp_path)
        assert len(server.requests) == 20
    assert outputs(tmp_path) == first
    rows = verdicts(tmp_path)
    assert [(row["id"], row["model"], row["metric"]) for row in rows] == sorted(
        (f"c{n}#1", model, metric)
        for n in range(5)
        for model in ("base", "tuned")
        for metric in ("coherence", "correctness")
    )
    assert {row["status"] for row in rows} == {"scored"}
    entry = result(tmp_path)["metrics"]["coherence"]
    assert (entry["n"], entry["groups"]) == (5, 5)
    mine = [row["score"] for row in rows if (row["model"], row["metric"]) == ("tuned", "coherence")]
    assert entry["tuned"]["value"] == pytest.approx(sum(mine) / 5)


def test_the_order_in_which_answers_come_changes_no_byte(tmp_path: Path) -> None:
    made = []
    for threads in (1, 8):
        judge_cases(tmp_path / str(threads), 6, otherwise=by_content, concurrency=threads)
        made.append(outputs(tmp_path / str(threads)))
    assert made[0] == made[1]


def test_same_text_of_both_models_is_asked_once(tmp_path: Path) -> None:
    texts = {"base": "the same", "tuned": "the same"}
    server = judge_cases(tmp_path, 3, texts=texts, latency=0.05, concurrency=8, max_calls=3)
    assert len(server.requests) == 3
    assert result(tmp_path)["metrics"]["coherence"]["coverage"]["base"] == {"scored": 3, "total": 3}


def test_another_threshold_asks_nothing_and_changes_the_pass_rate(tmp_path: Path) -> None:
    eval_files(tmp_path, 4)
    with JudgeServer(otherwise=lambda prompt: reply(verdict(6))) as server:
        for threshold, rate in ((0.5, 1.0), (0.6, 1.0), (0.7, 0.0)):
            settings(tmp_path, server, threshold=threshold)
            judge.main(tmp_path)
            assert result(tmp_path)["metrics"]["coherence"]["pass_rate"]["tuned"]["value"] == rate
        assert len(server.requests) == 8


def test_concurrency_is_calls_under_way(tmp_path: Path) -> None:
    assert judge_cases(tmp_path, 8, latency=0.1, concurrency=3).peak == 3


def test_after_the_first_call_the_others_go_side_by_side(tmp_path: Path) -> None:
    server = judge_cases(tmp_path, 4, latency=0.3, concurrency=8)
    assert len(server.requests) == 8
    assert 3 <= server.peak <= 7


def test_a_budget_too_small_stops_before_the_first_call(tmp_path: Path) -> None:
    eval_files(tmp_path, 3)
    with JudgeServer() as server:
        settings(tmp_path, server, max_calls=5)
        with pytest.raises(ParleyError, match="max_calls is 5, and 6 calls are needed"):
            judge.main(tmp_path)
        assert server.requests == []
        settings(tmp_path, server, max_calls=6)
        judge.main(tmp_path)
        settings(tmp_path, server, max_calls=0)
        judge.main(tmp_path)  # what is kept costs nothing
        assert len(server.requests) == 6


def test_asking_again_does_not_exceed_the_budget(tmp_path: Path) -> None:
    eval_files(tmp_path, 3)
    with JudgeServer(otherwise=lambda prompt: reply("prose")) as server:
        settings(tmp_path, server, max_calls=6)
        with pytest.raises(ParleyError, match="max_calls is used up"):
            judge.main(tmp_path)
        assert len(server.requests) <= 6


def test_it_says_what_it_sends_where_before_the_first_call(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    eval_files(tmp_path, 3)
    with JudgeServer([status(404)]) as server:
        settings(tmp_path, server)
        with pytest.raises(ParleyError):
            judge.main(tmp_path)
        shown = capfd.readouterr()
        assert re.search(
            rf"sending 3 test cases \(redacted.*\) in 6 calls, about [\d,]+ tokens, to {server.url}, model ", shown.out
        )
    assert KEY not in shown.out + shown.err


def test_key_and_texts_stay_out_of_every_output_but_the_verdicts(tmp_path: Path) -> None:
    judge_cases(tmp_path, 2, otherwise=lambda prompt: reply(verdict(5, reason="It quotes the mauve one.")))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    quoting = {path.name for path in files if b"mauve" in path.read_bytes()}
    assert "judge.json" not in quoting
    assert "verdicts.jsonl" in quoting


def test_the_judge_is_told_neither_the_case_nor_whose_answer_it_is(tmp_path: Path) -> None:
    for request in judge_cases(tmp_path, 1, metrics=["correctness", "coherence"]).requests:
        assert not re.search(r"c0#1|tuned|\bbase\b|reference", request["prompt"])


@pytest.mark.parametrize("client", ["gemini", "none"])
def test_without_a_key_or_a_client_nothing_is_scored(
    tmp_path: Path, client: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "")
    eval_files(tmp_path, 2)
    settings(tmp_path, client=client)
    judge.main(tmp_path)
    reason = "no GEMINI_API_KEY" if client == "gemini" else "judge.client is none"
    assert result(tmp_path) == {
        "schema": 1,
        "status": "not_scored",
        "reason": reason,
        "judge": {"client": client, "model": "gemini-test"},
        "metrics": {},
    }
    assert (tmp_path / "data/eval/verdicts.jsonl").read_bytes() == b""
    assert capsys.readouterr().out == f"judge: not scored: {reason}\n"


@pytest.mark.parametrize("variable", ["GEMINI_API_KEY", "GOOGLE_API_KEY"])
def test_the_key_may_come_from_the_env_file_of_the_dvc_root(
    tmp_path: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GEMINI_API_KEY")
    home, workspace = tmp_path / "home", tmp_path / "workspace"
    home.mkdir()
    (home / ".env").write_text(f"{variable}='{KEY}'\nHF_TOKEN=other\n", encoding="utf-8")
    monkeypatch.setenv("DVC_ROOT", str(home))
    assert len(judge_cases(workspace, 1).requests) == 2
    assert result(workspace)["status"] == "scored"
    assert (home / ".judge/answers.sqlite").is_file()  # shared by every experiment
    assert "HF_TOKEN" not in os.environ
    assert variable not in os.environ


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"metrics": ["coherense"]}, "no 'coherense' in parley/rubrics.*did you mean 'coherence'"),
        ({"client": "gemeni"}, "no 'gemeni' in parley/judges.*did you mean 'gemini'"),
        ({"endpoint": "localhost:80"}, "judge.endpoint"),
        ({"concurrency": 0}, "judge.concurrency"),
        ({"max_cals": 3}, "judge.max_cals: unknown key; did you mean 'max_calls'"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    eval_files(tmp_path, 1)
    settings(tmp_path, **changed)
    with pytest.raises(ParleyError, match=message):
        judge.main(tmp_path)


def test_a_generation_that_is_missing_is_named(tmp_path: Path) -> None:
    eval_files(tmp_path, 2)
    (tmp_path / "data/eval/tuned.jsonl").write_text("", encoding="utf-8")
    settings(tmp_path)
    with pytest.raises(ParleyError, match=r"tuned.jsonl: 3 of 3 cases have no generation .*'c0#1'"):
        judge.main(tmp_path)
