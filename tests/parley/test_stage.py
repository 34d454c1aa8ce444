"""What a person reads when a stage stops."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from parley.stage import run

Stop = Callable[[BaseException, int], str]


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Stop]:
    """Runs a stage that raises an error and ends with a status; gives what it printed."""
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def stop(error: BaseException, status: int) -> str:
        def main(root: Path) -> None:
            raise error

        with pytest.raises(SystemExit) as end:
            run("encode", main)
        assert end.value.code == status
        return capsys.readouterr().err

    yield stop
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError("I/O error: No space left on device (os error 28)"),
        RuntimeError("basic_ios::clear: iostream error"),
        sqlite3.OperationalError("database or disk is full"),
    ],
)
def test_a_full_disk_is_told_whoever_says_it(stopped: Stop, error: Exception) -> None:
    assert stopped(error, 1).startswith("encode: no space left on the disk (")


def test_a_file_without_rights_is_named(stopped: Stop) -> None:
    error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "data/raw/general.json")
    assert stopped(error, 1).startswith("encode: data/raw/general.json: Permission denied")


def test_ctrl_c_is_one_line(stopped: Stop) -> None:
    assert stopped(KeyboardInterrupt(), 130).strip().count("\n") == 0


def test_an_unforeseen_error_keeps_its_words_back(stopped: Stop) -> None:
    text = stopped(ValueError("what Wren said"), 1)
    assert "unforeseen ValueError" in text and "Wren" not in text


def test_ctrl_c_while_a_stage_imports_shows_no_frames() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import stages; raise KeyboardInterrupt"], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGINT
    assert done.stderr.strip() == "stopped; the next run goes on"
