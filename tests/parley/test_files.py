"""What `publish` leaves behind: a whole file or folder, or nothing."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from parley.errors import ParleyError
from parley.files import publish

HALF_WAY = """
import pathlib, sys
from parley.files import publish
with publish(pathlib.Path(sys.argv[1])) as made:
    made.mkdir()
    (made / "weights").write_text("half")
    print("half way", flush=True)
    sys.stdin.read()
"""


def test_an_error_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with publish(target) as made:
        made.mkdir()
        (made / "weights").write_text("old")
    with pytest.raises(OSError, match="full"), publish(target) as made:
        made.mkdir()
        (made / "weights").write_text("new")
        raise OSError(errno.ENOSPC, "full")
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["model", "model/weights"]
    assert (target / "weights").read_text() == "old"


def test_a_file_never_replaces_a_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/precious").write_text("kept")
    with pytest.raises(ParleyError, match=r"mine is a folder"), publish(tmp_path / "mine") as made:
        made.write_text("new")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["mine", "mine/precious"]


def test_what_a_killed_process_left_goes_with_the_next_publish_but_not_a_living_ones(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HALF_WAY, str(tmp_path / "model")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout and process.stdout.readline() == b"half way\n"
    for text in ("first", "second"):
        with publish(tmp_path / "metrics.json") as made:
            made.write_text(text)
        scratch = [path.name for path in tmp_path.iterdir() if path.name != "metrics.json"]
        assert len(scratch) == (text == "first"), text
        process.kill()
        process.wait()
    assert (tmp_path / "metrics.json").read_text() == "second"
