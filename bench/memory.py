"""Estimated and measured peak memory of training on a CPU, over methods, numbers and checkpointing.

    python -m bench.memory [--methods full LoRA QLoRA]

Each row is a run of the train stage in a process of its own, two steps of four packed rows; its peak is the largest
resident set that the kernel saw, libraries included. bf16 is left out where the processor only imitates it.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.train import BATCH_ROWS, ROOT, parley, prepare
from parley.encoding.examples import read_examples
from parley.modeling.model_shapes import config_of, shape_of
from parley.modeling.models import computes_bf16
from parley.training.memory import Run, estimate

METHODS = {"full": ("full", "none"), "LoRA": ("lora", "none"), "QLoRA": ("lora", "nf4")}


# A small process between: the kernel counts what the one that starts another holds to that one's peak.
START = """
import os, subprocess, sys, time
start = time.monotonic()
_, status, usage = os.wait4(subprocess.Popen(sys.argv[1:], stdout=2).pid, 0)
print(time.monotonic() - start, usage.ru_maxrss)
sys.exit(status != 0)
"""


def measured(command: list[str], place: Path, **environment: str) -> tuple[float, float]:
    """Seconds of a process, and MB of its largest resident set; stops with what it said if it fails."""
    known = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    started = [sys.executable, "-S", "-c", START, *command]
    done = subprocess.run(started, cwd=place, env=known, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    seconds, peak = map(float, done.stdout.split())
    return seconds, peak * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(work, count=22, vocabulary=16000, threads=1, hidden=768, layers=8)
        settings = json.loads((work / "settings.json").read_text())
        shape = shape_of(config_of(str(work / "model")))
        rows = list(read_examples(work / "data/encoded/train.parquet"))
        every = sum(len(row.input_ids) for row in rows)
        trained = sum(label >= 0 for row in rows for label in row.labels) / every
        print("| method | numbers | checkpointing | estimated MB | measured MB | error |\n|---|---|---|---|---|---|")
        precisions = ["bf16", "fp32"] if computes_bf16() else ["fp32"]  # imitated, a step takes minutes
        for name, precision, on in itertools.product(asked.methods, precisions, [False, True]):
            mode, quantization = METHODS[name]
            changes = {"quantization": quantization, "precision": precision, "checkpointing": "on" if on else "off"}
            command, place = parley(work, mode, settings, **changes)
            _, found = measured(command, place, OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")
            run = Run(mode, quantization, precision, "cpu", BATCH_ROWS, settings["longest"], trained, 1, 8, False, on)
            said = estimate(shape, run).peak / 1e6
            print(
                f"| {name} | {precision} | {changes['checkpointing']} | {said:.0f} | {found:.0f} "
                f"| {said / found - 1:+.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
