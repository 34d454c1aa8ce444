"""Kill -9 at random steps: does training end with the bytes of a run that nobody disturbed?

python -m bench.kill [--kills 10] [--seed 1] [--modes lora full qlora] [--workers 2]

For each of LoRA, full and QLoRA, packed and not: one undisturbed run of the train stage on a small random model, then
another that is killed with SIGKILL at `kills` random steps, going on each time, until it ends by itself. Compares
sha256 of models/trained, metrics/train.json and train_log.csv. Prints a Markdown table; exit status 1 on a difference.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from parley.files import read_json, sha256_tree
from stages import train

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

    from parley.encoding.examples import write_examples

    shutil.copytree(base, root / "models/base")
    write_examples(root / "data/encoded/train.parquet", made_up("train", 60, seed=1))
    write_examples(root / "data/encoded/val.parquet", made_up("val", 5, seed=2))
    set_params(root, train__epochs=3, runtime__save_steps=2, runtime__logging_steps=1, **changes)


def run(root: Path, kill_at: int | None) -> int:
    """Runs train in a forked process, so that nothing is imported anew; SIGKILL right after step `kill_at`.

    The exit status, or minus the signal.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.chdir(root)
        os.dup2(writing, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.close(reading)
        status = 1
        try:
            train.main(Path())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    said = []
    with os.fdopen(reading) as lines:
        for line in lines:
            said.append(line)
            if kill_at is not None and line.startswith(f"train: step {kill_at}/"):
                os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        print("".join(said[-30:]), file=sys.stderr)
    return os.waitstatus_to_exitcode(status)


def steps_of(root: Path) -> int:
    return int(read_json(root / "metrics/train.json")["steps"])


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

    os.environ.pop("DVC_ROOT", None)
    draw, same = random.Random(asked.seed), True
    print("| mode | packed | steps | killed after step | undisturbed | killed and resumed | same |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "params.yaml").write_text(PARAMS, encoding="utf-8")
        make_base = [sys.executable, "-m", "stages.base"]  # not here: what forks must not have used torch
        subprocess.run(make_base, cwd=scratch, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
        base = Path(scratch) / "models/base"
        for mode in asked.modes:
            for packed in (True, False):
                changes = {**MODES[mode], "train__packing": packed}
                changes |= {"train__sft": {"dataloader_num_workers": asked.workers}} if asked.workers else {}
                whole, cut = Path(scratch) / f"{mode}-{packed}-whole", Path(scratch) / f"{mode}-{packed}-cut"
                make(whole, base, changes)
                make(cut, base, changes)
                status = run(whole, None)
                assert status == 0, f"the undisturbed run of {mode} ended with {status}"
                steps = steps_of(whole)
                at = sorted(draw.sample(range(1, steps), min(asked.kills, steps - 1)))
                for step in at:
                    status = run(cut, step)
                    assert status == -signal.SIGKILL, f"{mode}: ended with {status} before step {step}"
                status = run(cut, None)
                assert status == 0, f"the resumed run of {mode} ended with {status}"
                found = (sums(whole), sums(cut))
                same &= found[0] == found[1]
                killed = ", ".join(map(str, at))
                cells = [mode, "yes" if packed else "no", steps, killed, found[0][0], found[1][0]]
                print(f"| {' | '.join(map(str, cells))} | {'yes' if found[0] == found[1] else 'NO'} |", flush=True)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
