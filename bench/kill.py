"""Kill -9 at random steps: does training end with the bytes of a run that nobody disturbed?

python -m bench.kill [--kills 10] [--seed 1] [--modes lora full qlora] [--workers 2]

For each of LoRA, full and QLoRA, packed and not: one undisturbed run of the train stage on a small random model, then
another that is killed with SIGKILL at `kills` random steps, going on each time, until it ends by itself. Compares
sha256 of models/trained, metrics/train.json and train_log.csv. Prints a Markdown table; exit status 1 on a difference.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from parley.files import sha256_tree

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
OUTPUTS = ("models/trained", "metrics/train.json", "metrics/train_log.csv")
MODES: dict[str, dict[str, Any]] = {
    "lora": {"train__lora__dropout": 0.1},
    "full": {"train__mode": "full", "train__lr": 0.001},
    "qlora": {"train__quantization": "nf4"},
}


def make(root: Path, base: Path, changes: dict[str, Any]) -> None:
    """A folder in which train runs: 60 made-up examples, 3 epochs, a checkpoint every second step."""
    from workspace import made_up, set_params

    from parley.examples import write_examples

    shutil.copytree(base, root / "models/base")
    write_examples(root / "data/encoded/train.parquet", made_up("train", 60, seed=1))
    write_examples(root / "data/encoded/val.parquet", made_up("val", 5, seed=2))
    set_params(root, train__epochs=3, runtime__save_steps=2, runtime__logging_steps=1, **changes)


def run(root: Path, kill_at: int | None) -> tuple[int, int]:
    """Runs train, kills it right after the line of step `kill_at`; (exit status, last step seen)."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("DVC_ROOT", None)
    step = 0
    with subprocess.Popen(
        [sys.executable, "-m", "stages.train"],
        cwd=root,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.match(r"train: step (\d+)/", line):
                step = int(found[1])
                if step == kill_at:
                    process.send_signal(signal.SIGKILL)
            elif line.startswith("train: ") and process.poll() is not None:
                print(line, end="", file=sys.stderr)
        return process.wait(), step


def sums(root: Path) -> list[str]:
    return [sha256_tree(root / name)[:16] for name in OUTPUTS]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.kill", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--workers", type=int, default=0, help="processes that load data")
    asked = parser.parse_args()
    from conftest import PARAMS

    from stages import base as base_stage

    draw, same = random.Random(asked.seed), True
    print("| mode | packed | steps | killed after step | undisturbed | killed and resumed | same |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "params.yaml").write_text(PARAMS, encoding="utf-8")
        base_stage.main(Path(scratch))
        base = Path(scratch) / "models/base"
        for mode in asked.modes:
            for packed in (True, False):
                changes = {**MODES[mode], "train__packing": packed}
                changes |= {"train__sft": {"dataloader_num_workers": asked.workers}} if asked.workers else {}
                whole, cut = Path(scratch) / f"{mode}-{packed}-whole", Path(scratch) / f"{mode}-{packed}-cut"
                make(whole, base, changes)
                make(cut, base, changes)
                status, steps = run(whole, None)
                assert status == 0, f"the undisturbed run of {mode} ended with {status}"
                at = sorted(draw.sample(range(1, steps), min(asked.kills, steps - 1)))
                for step in at:
                    status, _ = run(cut, step)
                    assert status == -signal.SIGKILL, f"{mode}: ended with {status} before step {step}"
                status, _ = run(cut, None)
                assert status == 0, f"the resumed run of {mode} ended with {status}"
                found = (sums(whole), sums(cut))
                same &= found[0] == found[1]
                killed = ", ".join(map(str, at))
                cells = [mode, "yes" if packed else "no", steps, killed, found[0][0], found[1][0]]
                print(f"| {' | '.join(map(str, cells))} | {'yes' if found[0] == found[1] else 'NO'} |", flush=True)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
