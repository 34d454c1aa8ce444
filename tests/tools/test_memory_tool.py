"""make memory: what it prints, and the table in the docs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def printed(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.memory", *arguments]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_run_too_large_for_the_card_is_told_what_would_fit() -> None:
    found = printed("Qwen2.5-7B", "--device", "cuda", "--gb", "12")
    assert found.returncode == 0
    assert "does not fit: the device has 12.0 GB" in found.stdout
    assert "this fits: train.quantization: nf4" in found.stdout.replace('train.checkpointing: "on", ', "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["Qwen2.5-7b"], "Qwen2.5-7B"), (["Qwen2.5-7B", "--device", "cuda"], "no GPU here to ask: say how much memory")],
)
def test_an_unknown_model_and_an_unknown_size_are_one_line(arguments: list[str], said: str) -> None:
    found = printed(*arguments)
    assert found.returncode == 1 and said in found.stderr
    assert len([line for line in found.stderr.splitlines() if line.startswith("memory:")]) == 1
    assert "Traceback" not in found.stderr
