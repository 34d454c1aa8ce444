"""train on a GPU, by each strategy that needs one: what runs is what was asked for, and a killed run goes on."""

import importlib.util
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_train import run_and_kill
from workspace import run_stage

from parley.files import read_json

pytestmark = [pytest.mark.slow, pytest.mark.gpu]
Make = Callable[..., Path]


@pytest.mark.parametrize("mode", ["lora", "full"])
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2", "zero2", "zero3", "zero3_offload"])
def test_one_process_trains_and_goes_on_after_a_kill(made_workspace: Make, strategy: str, mode: str) -> None:
    if strategy.startswith("zero") and importlib.util.find_spec("deepspeed") is None:
        pytest.skip("DeepSpeed is not installed")
    changes: dict[str, Any] = {"train__strategy": strategy, "train__mode": mode, "train__precision": "bf16"}
    root = made_workspace(**changes, runtime__save_steps=2, runtime__logging_steps=1)
    assert run_and_kill(root, 5, signal.SIGTERM) == 143
    done = run_stage(root, "train")
    assert done.returncode == 0, done.stderr
    assert "goes on from" in done.stdout and f"train.strategy {strategy}" in done.stdout
    found = read_json(root / "metrics/train.json")
    assert found["eval"][-1]["loss"] < found["eval"][0]["loss"]
    whole = made_workspace(**changes)
    assert run_stage(whole, "train").returncode == 0
    assert read_json(whole / "metrics/train.json")["eval"][-1]["loss"] == pytest.approx(
        found["eval"][-1]["loss"], rel=0.02
    )


def test_deterministic_runs_have_the_same_bytes_after_a_kill(made_workspace: Make) -> None:
    from test_train import sums

    roots = [made_workspace(train__deterministic=True, runtime__save_steps=2, runtime__logging_steps=1) for _ in "ab"]
    assert run_stage(roots[0], "train").returncode == 0
    assert run_and_kill(roots[1], 5, signal.SIGKILL) == -signal.SIGKILL
    assert run_stage(roots[1], "train").returncode == 0
    assert sums(roots[0]) == sums(roots[1])
