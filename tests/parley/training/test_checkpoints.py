"""Checkpoints: only whole ones of the same run are gone on from."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from parley.errors import ParleyError
from parley.training.checkpoints import checkpoints, fingerprint, newest, remove, seal

PARTS = {"seed": 42, "train": {"lr": 1e-5}, "data": "abc"}


def make(folder: Path, step: int) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir()
    (checkpoint / "optimizer.pt").write_bytes(b"moments" * step)
    (checkpoint / "model.safetensors").write_bytes(b"weights" * step)
    return checkpoint


def test_every_part_changes_the_fingerprint_and_their_order_does_not() -> None:
    assert fingerprint(PARTS) == fingerprint(dict(reversed(PARTS.items())))
    others = [{**PARTS, "seed": 43}, {**PARTS, "train": {"lr": 2e-5}}, {**PARTS, "data": "abd"}]
    assert len({fingerprint(parts) for parts in [PARTS, *others]}) == 4


def test_the_newest_is_the_one_of_the_highest_step(tmp_path: Path) -> None:
    with checkpoints(tmp_path, PARTS) as folder:
        assert newest(folder) is None
        for step in (9, 10):
            seal(make(folder, step))
        assert newest(folder) == folder / "checkpoint-10"


def test_two_checkpoints_are_kept(tmp_path: Path) -> None:
    with checkpoints(tmp_path, PARTS) as folder:
        for step in (8, 9, 10):
            seal(make(folder, step))
        assert sorted(path.name for path in folder.glob("checkpoint-*")) == ["checkpoint-10", "checkpoint-9"]


def flip(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").write_bytes(b"Weights" * 10)


def truncate(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").write_bytes(b"weights")


def lose(checkpoint: Path) -> None:
    (checkpoint / "optimizer.pt").unlink()


def garble(checkpoint: Path) -> None:
    (checkpoint / "manifest.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (flip, "model.safetensors has changed"),
        (truncate, "model.safetensors has changed"),
        (lose, "optimizer.pt is missing"),
        (garble, "manifest.json cannot be read"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(
    damage: Callable[[Path], None], fault: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with checkpoints(tmp_path, PARTS) as folder:
        seal(make(folder, 9))
        seal(make(folder, 10))
        damage(folder / "checkpoint-10")
        assert newest(folder) == folder / "checkpoint-9"
        assert f"{folder / 'checkpoint-10'} is damaged ({fault})" in capsys.readouterr().err
        assert newest(folder) == folder / "checkpoint-9"
        assert capsys.readouterr().err == ""


def test_a_checkpoint_without_manifest_does_not_count(tmp_path: Path) -> None:
    with checkpoints(tmp_path, PARTS) as folder:
        seal(make(folder, 9))
        make(folder, 10)
        assert newest(folder) == folder / "checkpoint-9"
    with checkpoints(tmp_path, PARTS) as folder:
        assert not (folder / "checkpoint-10").exists()


def test_another_run_starts_afresh_and_says_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with checkpoints(tmp_path, PARTS) as old:
        seal(make(old, 9))
    assert capsys.readouterr().err == ""
    with checkpoints(tmp_path, {**PARTS, "data": "abd"}) as folder:
        assert newest(folder) is None
    said = capsys.readouterr().err
    assert f"starts afresh: {old} is of another run (data differ)" in said
    with checkpoints(tmp_path, PARTS) as folder:
        assert newest(folder) == old / "checkpoint-9"


def test_a_folder_in_use_is_refused_with_its_holder_and_a_dead_ones_is_not(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from parley.training.checkpoints import checkpoints\n"
        f"with checkpoints(Path({str(tmp_path)!r}), {PARTS!r}): print(os.getpid(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        number = process.stdout.readline().strip()
        with pytest.raises(ParleyError, match=rf"in use by another run \(process {number} on "):
            checkpoints(tmp_path, PARTS).__enter__()
        process.kill()
    with checkpoints(tmp_path, PARTS) as folder:
        assert (folder / "lock").read_text().startswith("process ")


def test_a_finished_run_leaves_nothing(tmp_path: Path) -> None:
    with checkpoints(tmp_path, PARTS) as folder:
        seal(make(folder, 9))
        remove(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_ends_before_its_first_checkpoint_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ParleyError), checkpoints(tmp_path, PARTS) as folder:
        make(folder, 3)
        raise ParleyError("stopped")
    assert list(tmp_path.iterdir()) == []
