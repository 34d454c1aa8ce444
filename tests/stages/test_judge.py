"""The judge stage under the real google-generativeai client, against a scripted Gemini server."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from parley import asking
from parley.conversation import Conversation, Turn
from parley.errors import ParleyError
from parley.evaluation import Case, Generation, case_row, generation_row
from parley.files import read_json
from parley.jsonl import rows_into, rows_of
from stages import judge
from tests import loopback
from tests.loopback import GeminiServer, Step, reply, status, verdict

ROOT = Path(__file__).parent.parent.parent
KEY = "AIza-not-a-real-key"
SETTINGS = {
    "client": "gemini",
    "model": "gemini-test",
    "endpoint": "",
    "metrics": ["coherence"],
    "threshold": 0.5,
    "concurrency": 4,
    "timeout": 10,
    "retries": 2,
    "max_calls": 100,
}


@pytest.fixture(autouse=True)
def a_key_and_short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    monkeypatch.setattr(asking, "FIRST_WAIT", 0.01)


def settings(root: Path, server: GeminiServer | None = None, **changed: Any) -> None:
    section = SETTINGS | ({"endpoint": server.url} if server else {}) | changed
    (root / "params.yaml").write_text(f"seed: 7\njudge: {json.dumps(section)}\n", encoding="utf-8")


def eval_files(root: Path, cases: int, *, texts: dict[str, str] | None = None) -> None:
    """`cases` test cases and one of val; each model's generation says who wrote it, or texts[model]."""
    with rows_into(root / "data/eval/cases.jsonl") as add:
        for number in range(cases + 1):
            asked = Turn("user", f"what is number {number}?")
            context = Conversation(f"c{number}", (asked,), group=f"g{number}")
            split = "test" if number < cases else "val"
            add(case_row(Case(f"c{number}#1", split, context, Turn("assistant", f"it is {number}"))))
    for model in ("base", "tuned"):
        with rows_into(root / f"data/eval/{model}.jsonl") as add:
            for number in range(cases + 1):
                text = (texts or {}).get(model, f"{'blue' if model == 'base' else 'green'} {number}")
                add(generation_row(Generation(f"c{number}#1", text, "stop", 2, (-0.5,))))


def result(root: Path) -> dict[str, Any]:
    return read_json(root / "metrics/judge.json")


def verdicts(root: Path) -> list[dict[str, Any]]:
    return [row for _, row in rows_of(root / "data/eval/verdicts.jsonl")]


def outputs(root: Path) -> tuple[bytes, bytes]:
    return (root / "metrics/judge.json").read_bytes(), (root / "data/eval/verdicts.jsonl").read_bytes()


def by_content(prompt: str) -> Step:
    """A score that depends on the prompt alone."""
    return reply(verdict(int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % 11))


def test_every_test_case_is_judged_once_and_a_second_run_asks_nothing(tmp_path: Path) -> None:
    eval_files(tmp_path, 5)
    with GeminiServer(otherwise=by_content) as server:
        settings(tmp_path, server, metrics=["correctness", "coherence"])
        judge.main(tmp_path)
        assert len(server.requests) == 5 * 2 * 2
        assert {request["path"].split("?")[0] for request in server.requests} == {
            "/v1beta/models/gemini-test:generateContent"
        }
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
        root = tmp_path / str(threads)
        eval_files(root, 6)
        with GeminiServer(otherwise=by_content) as server:
            settings(root, server, concurrency=threads)
            judge.main(root)
        made.append(outputs(root))
    assert made[0] == made[1]


def test_same_text_of_both_models_is_asked_once(tmp_path: Path) -> None:
    eval_files(tmp_path, 3, texts={"base": "the same", "tuned": "the same"})
    with GeminiServer(latency=0.05) as server:
        settings(tmp_path, server, concurrency=8, max_calls=3)
        judge.main(tmp_path)
        assert len(server.requests) == 3
    assert result(tmp_path)["metrics"]["coherence"]["coverage"]["base"] == {"scored": 3, "total": 3}


def test_another_threshold_asks_nothing_and_changes_the_pass_rate(tmp_path: Path) -> None:
    eval_files(tmp_path, 4)
    with GeminiServer(otherwise=lambda prompt: reply(verdict(6))) as server:
        for threshold, rate in ((0.5, 1.0), (0.6, 1.0), (0.7, 0.0)):
            settings(tmp_path, server, threshold=threshold)
            judge.main(tmp_path)
            assert result(tmp_path)["metrics"]["coherence"]["pass_rate"]["tuned"]["value"] == rate
        assert len(server.requests) == 8


# What the server does, and how the stage ends: a fault that passes ends scored when it happens once.
PASSING = {
    "429 with Retry-After": status(429, headers={"Retry-After": "0"}),
    "429 with RetryInfo": status(429, delay="0.01s"),
    "429 alone": status(429),
    "500": status(500),
    "502 in HTML": loopback.html(502),
    "503": status(503),
    "504": status(504),
    "an error of another shape": lambda handler: handler.send(500, b'{"error": "boom"}', {}),
    "hang": loopback.hang(1.5),
    "reset": loopback.reset(),
    "truncated body": loopback.truncated(),
    "HTML": loopback.html(),
    "garbage": loopback.raw(b"\xff\xfe{"),
}
LASTING = {
    "blocked": (loopback.blocked(), "blocked"),
    "no candidate": (loopback.body({}), "empty"),
    "empty": (reply(""), "empty"),
    "SAFETY": (reply("", finish="SAFETY"), "safety"),
    "RECITATION": (reply("as in the", finish="RECITATION"), "recitation"),
    "MAX_TOKENS": (reply(verdict(9), finish="MAX_TOKENS"), "max_tokens"),
    "prose": (reply("I would give it an 8."), "bad_json"),
    "cut JSON": (reply('{"reason": "It'), "bad_json"),
    "two objects": (reply(verdict(2) + verdict(9)), "bad_json"),
    "no score": (reply('{"reason": "It fits."}'), "bad_json"),
    "score in words": (reply(verdict("ten")), "bad_json"),
    "score as text": (reply(verdict("8")), "bad_json"),
    "score 15": (reply(verdict(15)), "bad_score"),
    "score -1": (reply(verdict(-1)), "bad_score"),
    "NaN": (reply('{"reason": "It fits.", "score": NaN}'), "bad_score"),
    "Infinity": (reply('{"reason": "It fits.", "score": Infinity}'), "bad_score"),
}


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_ends_scored(tmp_path: Path, fault: str) -> None:
    eval_files(tmp_path, 2)
    with GeminiServer([PASSING[fault]]) as server:
        settings(tmp_path, server, timeout=1 if fault == "hang" else 10)
        judge.main(tmp_path)
        assert len(server.requests) == 5
    assert result(tmp_path)["metrics"]["coherence"]["coverage"]["tuned"] == {"scored": 2, "total": 2}


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_stays_fails_the_stage_and_keeps_every_answer(tmp_path: Path, fault: str) -> None:
    eval_files(tmp_path, 4)
    with GeminiServer([reply()] * 5, otherwise=lambda prompt: PASSING[fault]) as server:
        settings(tmp_path, server, concurrency=1, timeout=1 if fault == "hang" else 10)
        with pytest.raises(ParleyError, match=r"did not answer in 2 tries.*answer so far is kept"):
            judge.main(tmp_path)
        assert len(server.requests) == 5 + 2
        assert not (tmp_path / "metrics/judge.json").exists()
        server.otherwise = lambda prompt: reply()
        judge.main(tmp_path)
        assert len(server.requests) == 5 + 2 + 3


@pytest.mark.parametrize("fault", LASTING)
def test_a_lasting_refusal_is_an_unscored_row_asked_twice_and_never_again(tmp_path: Path, fault: str) -> None:
    step, kind = LASTING[fault]
    eval_files(tmp_path, 2)
    with GeminiServer(otherwise=lambda prompt: step if "green 0" in prompt else reply(verdict(9))) as server:
        settings(tmp_path, server)
        judge.main(tmp_path)
        assert len(server.requests) == 4 + 1
        judge.main(tmp_path)
        assert len(server.requests) == 4 + 1
    refused = {row["id"]: row for row in verdicts(tmp_path) if row["model"] == "tuned"}["c0#1"]
    assert (refused["status"], refused["kind"]) == ("unscored", kind)
    assert (refused["score"], refused["passed"]) == (None, None)
    entry = result(tmp_path)["metrics"]["coherence"]
    assert entry["coverage"] == {"tuned": {"scored": 1, "total": 2}, "base": {"scored": 2, "total": 2}}
    assert (entry["n"], entry["unscored"]) == (1, {f"tuned: {kind}": 1})
    assert entry["tuned"]["value"] == 0.9


@pytest.mark.parametrize(
    "text", ["```json\n" + verdict(4) + "\n```", "```\n" + verdict(4) + "\n```", f"\n {verdict(4)} "]
)
def test_fenced_json_is_scored(tmp_path: Path, text: str) -> None:
    eval_files(tmp_path, 1)
    with GeminiServer(otherwise=lambda prompt: reply(text)) as server:
        settings(tmp_path, server)
        judge.main(tmp_path)
    assert [row["score"] for row in verdicts(tmp_path)] == [0.4, 0.4]


def test_a_refusal_that_is_answered_the_second_time_is_scored(tmp_path: Path) -> None:
    eval_files(tmp_path, 1)
    with GeminiServer([reply('{"reason', finish="MAX_TOKENS"), reply(verdict(7))]) as server:
        settings(tmp_path, server, concurrency=1)
        judge.main(tmp_path)
        limits = [request["config"]["maxOutputTokens"] for request in server.requests]
    assert limits == [8192, 32768, 8192]
    assert verdicts(tmp_path)[0]["score"] == 0.7


def test_nothing_scored_is_no_number(tmp_path: Path) -> None:
    eval_files(tmp_path, 2)
    with GeminiServer(otherwise=lambda prompt: loopback.blocked()) as server:
        settings(tmp_path, server)
        judge.main(tmp_path)
    entry = result(tmp_path)["metrics"]["coherence"]
    assert entry["value"] is None
    assert entry["not_scored"] == "blocked (2)"
    assert not {"tuned", "base", "difference", "pass_rate"} & entry.keys()


@pytest.mark.parametrize("step", [status(400, reason="API_KEY_INVALID"), status(400), status(401), status(403)])
def test_a_wrong_key_fails_at_the_first_call_and_names_the_variable(tmp_path: Path, step: Step) -> None:
    eval_files(tmp_path, 5)
    with GeminiServer(otherwise=lambda prompt: step, latency=0.05) as server:
        settings(tmp_path, server, concurrency=8)
        with pytest.raises(ParleyError, match="GEMINI_API_KEY") as raised:
            judge.main(tmp_path)
        assert len(server.requests) == 1
    assert KEY not in str(raised.value)


def test_an_unknown_model_fails_at_the_first_call(tmp_path: Path) -> None:
    eval_files(tmp_path, 5)
    with GeminiServer(otherwise=lambda prompt: status(404), latency=0.05) as server:
        settings(tmp_path, server, concurrency=8)
        with pytest.raises(ParleyError, match=r"judge\.model.*no model 'gemini-test'"):
            judge.main(tmp_path)
        assert len(server.requests) == 1


def test_a_bad_request_after_a_good_one_is_a_row(tmp_path: Path) -> None:
    eval_files(tmp_path, 2)
    with GeminiServer(otherwise=lambda prompt: status(400) if "green 1" in prompt else reply()) as server:
        settings(tmp_path, server)
        judge.main(tmp_path)
    assert [row["kind"] for row in verdicts(tmp_path)] == ["", "", "", "http_400"]


def test_retry_after_pauses_every_thread(tmp_path: Path) -> None:
    eval_files(tmp_path, 10)
    with GeminiServer([reply(), status(429, headers={"Retry-After": "1"})], latency=0.02) as server:
        settings(tmp_path, server, concurrency=4)
        judge.main(tmp_path)
        times = [request["time"] for request in server.requests]
    overrun = times[1]
    # Three calls were under way when the 429 came and one more may have been about to start.
    assert sum(overrun < moment < overrun + 0.95 for moment in times) <= 4
    assert len(times) == 21


def test_a_server_that_asks_for_too_long_a_wait_gets_no_second_try(tmp_path: Path) -> None:
    eval_files(tmp_path, 1)
    with GeminiServer(otherwise=lambda prompt: status(429, headers={"Retry-After": "3600"})) as server:
        settings(tmp_path, server, retries=5)
        with pytest.raises(ParleyError, match="asks to wait 3600 s"):
            judge.main(tmp_path)
        assert len(server.requests) == 1


def test_concurrency_is_calls_under_way(tmp_path: Path) -> None:
    eval_files(tmp_path, 8)
    with GeminiServer(latency=0.1) as server:
        settings(tmp_path, server, concurrency=3)
        judge.main(tmp_path)
        assert server.peak == 3


def test_after_the_first_call_the_others_go_side_by_side(tmp_path: Path) -> None:
    eval_files(tmp_path, 4)
    with GeminiServer(latency=0.3) as server:
        settings(tmp_path, server, concurrency=8)
        judge.main(tmp_path)
        assert len(server.requests) == 8
        assert 3 <= server.peak <= 7


def test_a_budget_too_small_stops_before_the_first_call(tmp_path: Path) -> None:
    eval_files(tmp_path, 3)
    with GeminiServer() as server:
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
    with GeminiServer(otherwise=lambda prompt: reply("prose")) as server:
        settings(tmp_path, server, max_calls=6)
        with pytest.raises(ParleyError, match="max_calls is used up"):
            judge.main(tmp_path)
        assert len(server.requests) <= 6


def test_it_says_what_it_sends_where_before_the_first_call(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    eval_files(tmp_path, 3)
    with GeminiServer([status(404)]) as server:
        settings(tmp_path, server)
        with pytest.raises(ParleyError):
            judge.main(tmp_path)
        shown = capfd.readouterr()
        assert re.search(
            rf"sending 3 test cases \(redacted.*\) in 6 calls to {server.url}, model gemini-test", shown.out
        )
    assert KEY not in shown.out + shown.err


def test_key_and_texts_stay_out_of_every_output_but_the_verdicts(tmp_path: Path) -> None:
    eval_files(tmp_path, 2)
    with GeminiServer(otherwise=lambda prompt: reply(verdict(5, reason="It quotes the mauve one."))) as server:
        settings(tmp_path, server)
        judge.main(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    quoting = {path.name for path in files if b"mauve" in path.read_bytes()}
    assert "judge.json" not in quoting
    assert "verdicts.jsonl" in quoting


def test_the_judge_is_told_neither_the_case_nor_whose_answer_it_is(tmp_path: Path) -> None:
    eval_files(tmp_path, 1)
    with GeminiServer() as server:
        settings(tmp_path, server, metrics=["correctness", "coherence"])
        judge.main(tmp_path)
    for request in server.requests:
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
    eval_files(workspace, 1)
    with GeminiServer() as server:
        settings(workspace, server)
        judge.main(workspace)
        assert len(server.requests) == 2
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


def stage(root: Path, **options: Any) -> "subprocess.Popen[bytes]":
    """`python -m stages.judge` in `root`, as DVC starts it."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GEMINI_API_KEY": KEY}
    return subprocess.Popen([sys.executable, "-m", "stages.judge"], cwd=root, env=environment, **options)


def test_after_kill_9_only_the_missing_questions_are_asked(tmp_path: Path) -> None:
    eval_files(tmp_path, 20)
    calls, threads = 40, 4
    with GeminiServer(otherwise=by_content, latency=0.03) as server:
        settings(tmp_path, server, concurrency=threads)
        process = stage(tmp_path)
        while len(server.requests) < calls // 2 and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (tmp_path / "metrics/judge.json").exists()
        time.sleep(0.1)
        assert stage(tmp_path).wait() == 0
        assert calls <= len(server.requests) <= calls + threads
        interrupted = outputs(tmp_path)

        undisturbed = tmp_path / "undisturbed"
        eval_files(undisturbed, 20)
        settings(undisturbed, server)
        judge.main(undisturbed)
    assert outputs(undisturbed) == interrupted


def test_ctrl_c_keeps_the_answers_of_the_calls_under_way(tmp_path: Path) -> None:
    eval_files(tmp_path, 10)
    with GeminiServer(latency=0.1) as server:
        settings(tmp_path, server, concurrency=2)
        process = stage(tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while len(server.requests) < 5 and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        _, shown = process.communicate(timeout=20)
        assert process.returncode == 130
        assert b"Traceback" not in shown
        asked = len(server.requests)
        assert asked < 10
        assert stage(tmp_path, stdout=subprocess.DEVNULL).wait() == 0
        assert len(server.requests) == 20


AUDIT = """
import atexit, os, sys
seen = []
def hook(event, args):
    if event in ("socket.connect", "socket.sendto"):
        seen.append(("socket", str(args[1])))
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        seen.append(("name", str(args[0])))
    elif event == "open" and isinstance(args[0], (str, bytes)) and isinstance(args[2], int):
        if args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            seen.append(("file", os.path.abspath(os.fsdecode(args[0]))))
    elif event in ("os.mkdir", "os.rename"):
        seen.append(("file", os.path.abspath(os.fsdecode(args[event == "os.rename"]))))
    elif event == "sqlite3.connect":
        seen.append(("file", os.path.abspath(args[0])))
sys.addaudithook(hook)
atexit.register(lambda: print(*(f"{kind} {what}" for kind, what in seen), sep="\\n", file=sys.__stdout__))
sys.dont_write_bytecode = True
"""


def audited(root: Path, home: Path, **environment: str) -> tuple[set[str], list[str]]:
    """(hosts and names, files written) of the stage, as the interpreter's own audit saw them."""
    code = AUDIT + "import runpy; sys.argv = ['stages/judge.py']; runpy.run_module('stages.judge', run_name='__main__')"
    scratch = root / "scratch"
    scratch.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DEEPEVAL", "GEMINI", "GOOGLE"))}
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env=clean | {"PYTHONPATH": str(ROOT), "HOME": str(home), "TMPDIR": str(scratch)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split(" ", 1) for line in found.stdout.splitlines() if line.startswith(("socket ", "name ", "file "))]
    assert "Warning" not in found.stderr
    reached = {what for kind, what in lines if kind != "file"}
    return reached, [what for kind, what in lines if kind == "file"]


def test_no_socket_but_the_judges_and_no_file_outside_the_project(tmp_path: Path) -> None:
    eval_files(tmp_path / "project", 2)
    home = tmp_path / "home"
    home.mkdir()
    root = tmp_path / "project"
    (root / ".env").write_text("CONFIDENT_API_KEY=x\nOPENAI_API_KEY=y\n", encoding="utf-8")
    with GeminiServer() as server:
        settings(root, server)
        reached, files = audited(
            root, home, GEMINI_API_KEY=KEY, DEEPEVAL_UPDATE_WARNING_OPT_IN="1", CONFIDENT_API_KEY="x"
        )
        assert len(server.requests) == 4
        assert reached <= {f"('127.0.0.1', {server.server_port})", "127.0.0.1"}
    assert any(path.endswith("answers.sqlite") for path in files)  # the hook does see files
    assert [path for path in files if not path.startswith((str(root), "/dev/null"))] == []
    assert list(home.iterdir()) == []
    left = {path.relative_to(root).parts[0] for path in root.rglob("*") if path.is_file()}
    assert left == {".env", ".judge", "data", "metrics", "params.yaml"}


def test_without_a_key_no_socket_is_opened_and_deepeval_stays_unloaded(tmp_path: Path) -> None:
    eval_files(tmp_path, 1)
    settings(tmp_path)
    assert audited(tmp_path, tmp_path)[0] == set()
    code = (
        "import sys, pathlib, stages.judge; stages.judge.main(pathlib.Path());"
        "print({'deepeval', 'google.generativeai', 'torch'} & {*sys.modules})"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "GEMINI_API_KEY": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.splitlines()[-1] == "set()"
