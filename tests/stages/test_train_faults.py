"""train: a full disk, weights that break, trackers, the log."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from test_train import sums
from workspace import run_stage

from parley.errors import ParleyError
from parley.files import read_json
from stages import train

pytestmark = pytest.mark.slow
Make = Callable[..., Path]


def test_weights_that_break_are_told_with_the_step_and_the_rows_that_broke_them(made_workspace: Make) -> None:
    root = made_workspace(train__lr=1e39, train__sft={"max_steps": 1}, train__warmup_ratio=0.0)
    with pytest.raises(ParleyError, match=r"step 1: \d+ weights \(.+\) after it: not finite.*step: train-\d+"):
        train.main(root)
    assert not (root / "models/trained").exists()


def test_tensorboard_and_the_log_hold_the_run_and_no_output_knows_of_them(made_workspace: Make) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plain = made_workspace(train__epochs=1)
    train.main(plain)
    root = made_workspace(train__epochs=1, runtime__report_to=["tensorboard"], runtime__logging_steps=2)
    train.main(root)
    assert sums(root) == sums(plain)
    (folder,) = {path.parent for path in root.glob("metrics/timing/tensorboard/**/events.*")}
    events = EventAccumulator(str(folder)).Reload()
    steps = read_json(root / "metrics/train.json")["steps"]
    assert [event.step for event in events.Scalars("train/loss")] == list(range(2, steps + 1, 2))
    log = (root / "metrics/timing/train.log").read_text().splitlines()
    assert "one process on cpu" in log[0] and "(train.precision)" in log[0]
    assert len([line for line in log if f"/{steps}, loss " in line and " MB at most" in line]) == len(
        range(2, steps + 1, 2)
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk, which root alone may")
def test_a_full_disk_is_told_and_leaves_nothing_half_written(made_workspace: Make) -> None:
    root = made_workspace(train__mode="full", train__lr=0.001, runtime__save_steps=1)
    disk = root / ".checkpoints"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], check=False).returncode:
        pytest.skip("no right to mount")
    try:
        done = run_stage(root, "train")
        assert done.returncode == 1
        assert "train: no space left on the disk" in done.stderr
        assert list(disk.rglob("checkpoint-*")) == [] and not (root / "models/trained").exists()
    finally:
        subprocess.run(["umount", disk], check=True)
