import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parley import progress
from parley.progress import Bar, lines_of, tracked

ROOT = Path(__file__).parents[2]
STEPS = """
import time
from parley import progress
progress.FIRST = 0.0
with progress.progress("encode", 1200, "rows") as bar:
    for _ in range(6):
        time.sleep(0.15)
        bar.advance(200, note="loss 1.5")
print("done")
"""


def test_on_a_terminal_a_bar_tells_rate_and_time_left_and_is_gone_at_the_end() -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", STEPS]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, cwd=ROOT, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            shown += piece
        assert process.wait() == 0
    os.close(ours)
    text = shown.decode()
    assert "encode" in text and "400 of 1,200 rows, " in text and " rows/s, " in text and " s left, loss 1.5" in text
    last = text[text.rindex("1,200 rows") :]
    assert "\x1b[2K" in last and last.rstrip().endswith("done")  # the line is cleared before what comes after


def test_elsewhere_there_are_plain_lines_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINES", 0.05)
    for _ in tracked(range(4), "score", 4, "scores"):
        time.sleep(0.06)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 4 and said[1].startswith("score: 2 of 4 scores, ") and said[1].endswith(" s left")
    assert "\x1b" not in "".join(said)


def test_a_short_stage_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(tracked("abc", "validate", 3, "rows")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_a_resumed_run_counts_its_rate_from_where_it_began() -> None:
    bar = Bar("train", 100, "steps", done=90)
    time.sleep(0.1)
    bar.advance(2)
    rate = float(bar.words().split(", ")[1].split()[0])
    assert bar.words().startswith("92 of 100 steps") and rate <= 20


def test_lines_are_counted_over_files_that_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1\n2\n")
    assert lines_of(tmp_path / "a", tmp_path / "b") == 2
