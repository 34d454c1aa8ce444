"""train over two processes: the same steps as one, exact after a kill, and proved to be two."""

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from test_train import log_of, run_and_kill, sums
from workspace import run_stage, start

from parley.files import read_json
from stages import train

pytestmark = pytest.mark.slow
Make = Callable[..., Path]
TWO: dict[str, Any] = {"train__strategy": "ddp", "train__processes": 2, "train__batch_size": 1, "train__epochs": 1}


@pytest.fixture(scope="module", params=["ddp", "fsdp2"])
def undisturbed(made_workspace: Make, request: pytest.FixtureRequest) -> Path:
    """A finished run of two processes."""
    root = made_workspace(**{**TWO, "train__strategy": request.param})
    done = run_stage(root, "train")
    assert done.returncode == 0, done.stderr
    assert f"2 processes on cpu (train.strategy {request.param})" in done.stdout
    return root


@pytest.fixture(scope="module")
def alone(made_workspace: Make) -> Path:
    """A finished run of one process with twice the batch."""
    root = made_workspace(train__batch_size=2, train__epochs=1)
    train.main(root)
    return root


def test_two_processes_take_the_steps_of_one_with_twice_the_batch(undisturbed: Path, alone: Path) -> None:
    one, two = read_json(alone / "metrics/train.json"), read_json(undisturbed / "metrics/train.json")
    for figure in ("steps", "tokens", "trained_tokens", "rows"):
        assert two[figure] == one[figure]
    for column in ("loss", "grad_norm"):
        found = [float(row[column]) for row in log_of(undisturbed)]
        assert found == pytest.approx([float(row[column]) for row in log_of(alone)], rel=2e-3)
    assert [row["tokens"] for row in two["eval"]] == [row["tokens"] for row in one["eval"]]
    assert two["eval"][1]["loss"] == pytest.approx(one["eval"][1]["loss"], rel=1e-3)


def test_a_killed_process_stops_both_and_the_next_run_ends_with_the_same_bytes(
    undisturbed: Path, made_workspace: Make
) -> None:
    strategy = read_json(undisturbed / "models/trained/training_info.json")["params"]["train"]["strategy"]
    root = made_workspace(**{**TWO, "train__strategy": strategy}, runtime__save_steps=1, runtime__logging_steps=1)
    with start(root, "train") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("train: step 3/"):
                second = psutil.Process(process.pid).children(recursive=True)[1]
                second.kill()
                break
        said = process.stderr.read()
        assert process.wait() == 1
    assert re.search(r"process \d of 2 was killed by signal 9", said)
    assert not (root / "models/trained").exists()
    done = run_stage(root, "train")
    assert done.returncode == 0, done.stderr
    assert re.search(r"goes on from .*checkpoint-[23]$", done.stdout, re.M)
    assert sums(root) == sums(undisturbed)


def test_sigterm_saves_in_both_and_ends_with_its_status(made_workspace: Make) -> None:
    root = made_workspace(**TWO, runtime__logging_steps=1)
    assert run_and_kill(root, 2, signal.SIGTERM) == 143
    (checkpoint,) = root.glob(".checkpoints/*/checkpoint-*")
    files = read_json(checkpoint / "manifest.json")["files"]
    assert {"adapter_model.safetensors", "optimizer.pt", "rng_state_0.pth", "rng_state_1.pth"} <= files.keys()


def test_another_number_of_processes_than_asked_for_stops(made_workspace: Make) -> None:
    root = made_workspace(**TWO)
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    done = run_stage(root, "train", **alone)
    assert done.returncode == 1
    assert "train.strategy ddp over 2 processes was asked for; what runs is MULTI_CPU over 1" in done.stderr
    assert not (root / "models/trained").exists()
