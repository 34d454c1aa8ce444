"""The judge stage as a process of its own: killed, interrupted, and watched."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages import judge
from tests.judged import KEY, by_content, eval_files, outputs, settings
from tests.loopback import JudgeServer
from tests.workspace import run_stage, start

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_kill_9_at_any_moment_pays_again_only_for_calls_under_way(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum over all runs is at most cases x calls + what was under way, or not on disk yet, at each kill."""
    drawn = random.Random(seed)
    root, calm = tmp_path / "killed", tmp_path / "calm"
    eval_files(root, 20)
    calls, threads, kills = 20 * 2 * 2, 4, 0
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    with JudgeServer(otherwise=by_content, latency=0.03) as server:
        settings(root, server, concurrency=threads, pairwise=True)
        while True:
            process, until = start(root, "judge", GEMINI_API_KEY=KEY), len(server.requests) + drawn.randrange(8, 50)
            while len(server.requests) < until and process.poll() is None:
                time.sleep(0.001)
            time.sleep(drawn.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
            if process.wait() == 0:
                break
            kills += 1
            time.sleep(0.1)  # what the server still answers counts as asked
        assert kills >= 2
        assert calls <= len(server.requests) <= calls + kills * (threads + threads // 4)
        eval_files(calm, 20)
        settings(calm, server, pairwise=True)
        judge.main(calm)
    assert outputs(calm) == outputs(root)


@pytest.mark.slow
def test_ctrl_c_keeps_the_answers_of_the_calls_under_way(tmp_path: Path) -> None:
    eval_files(tmp_path, 10)
    with JudgeServer(latency=0.5) as server:
        settings(tmp_path, server, concurrency=2)
        process = start(tmp_path, "judge", GEMINI_API_KEY=KEY)
        while len(server.requests) < 5 and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        _, shown = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "Traceback" not in shown
        asked = len(server.requests)
        assert asked < 10
        assert run_stage(tmp_path, "judge", GEMINI_API_KEY=KEY).returncode == 0
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
atexit.register(lambda: print(*(f"env {name}={value}" for name, value in os.environ.items()), sep="\\n"))
sys.dont_write_bytecode = True
"""


def audited(root: Path, home: Path, **environment: str) -> tuple[set[str], list[str], set[str]]:
    """(hosts and names, files written, names in its environment at the end) of the stage, by Python's audit."""
    code = AUDIT + "import runpy; sys.argv = ['stages/judge.py']; runpy.run_module('stages.judge', run_name='__main__')"
    scratch = root / "scratch"
    scratch.mkdir()
    clean = {name: value for name, value in os.environ.items() if not re.search("DEEPEVAL|_API_KEY|HF_TOKEN", name)}
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env=clean | {"PYTHONPATH": str(ROOT), "HOME": str(home), "TMPDIR": str(scratch)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    kinds = ("socket", "name", "file", "env")
    lines = [line.split(" ", 1) for line in found.stdout.splitlines() if line.split(" ", 1)[0] in kinds]
    assert "Warning" not in found.stderr
    reached = {what for kind, what in lines if kind in ("socket", "name")}
    environ = {what.split("=")[0] for kind, what in lines if kind == "env"}
    return reached, [what for kind, what in lines if kind == "file"], environ


@pytest.mark.slow
@pytest.mark.parametrize("client", ["gemini", "google_genai", "openai", "ollama"])
def test_no_socket_but_the_judges_no_file_outside_the_project_and_no_env_leak(tmp_path: Path, client: str) -> None:
    eval_files(tmp_path / "project", 2)
    home = tmp_path / "home"
    home.mkdir()
    root = tmp_path / "project"
    secrets = {"GEMINI_API_KEY": KEY, "OPENAI_API_KEY": KEY, "CONFIDENT_API_KEY": "x", "HF_TOKEN": "y"}
    (root / ".env").write_text("".join(f"{name}={value}\n" for name, value in secrets.items()), encoding="utf-8")
    with JudgeServer() as server:
        settings(root, server, client=client)
        reached, files, environ = audited(root, home, DEEPEVAL_UPDATE_WARNING_OPT_IN="1")
        assert len(server.requests) == 4
        assert reached <= {f"('127.0.0.1', {server.server_port})", "127.0.0.1"}
    assert "HOME" in environ and not environ & secrets.keys()
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
