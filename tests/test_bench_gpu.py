"""bench/gpu.py: written for a GPU, so that at least its way through is tried on what is here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_benchmark_for_a_gpu_runs_to_its_tables_on_a_tiny_model() -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "bench.gpu", "--tiny"]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert re.search(r"^\| tiny \| 2 rows of \d+ \| [\d,]+ \| \d+\.\d% \|", found.stdout, re.MULTILINE)
    assert len(re.findall(r"^\| tiny \| lora \| 64 \| (?:off|on) \| \d+", found.stdout, re.MULTILINE)) == 2
