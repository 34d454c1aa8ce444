"""Seconds and peak memory of each stage of the default pipeline, and what DVC adds when nothing changed.

    python -m bench.walk [--recipe persona] [--runs 5]

Works in a temporary clone of the last commit. The stages run one after another in the order of dvc.yaml, each as
the process that DVC would start; then `dvc commit` fills the cache, and a no-op `dvc repro` and `dvc status`
are timed in turns. Prints a table for bench/results/.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.memory import ROOT, measured
from tools.timing import stage_names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="persona")
    parser.add_argument("--runs", type=int, default=5, help="pairs of no-op repro and status")
    asked = parser.parse_args()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ |= {"PATH": path, "DVC_NO_ANALYTICS": "1", "GEMINI_API_KEY": "", "GOOGLE_API_KEY": ""}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "parley"

        def run(module: str, *arguments: str) -> tuple[float, float]:
            return measured([sys.executable, "-m", module, *arguments], place, PYTHONPATH="")

        subprocess.run(["git", "clone", "-q", str(ROOT), str(place)], check=True)
        run("tools.recipe", asked.recipe, "--force")
        print(f"Recipe {asked.recipe}\n\n| stage | seconds | peak MB |\n|---|---|---|")
        total = 0.0
        for stage in stage_names(place):
            name, *item = stage.split("@")
            seconds, peak = run(f"stages.{name}", *item)
            total += seconds
            print(f"| {stage} | {seconds:.1f} | {peak:.0f} |", flush=True)
        print(f"| all stages | {total:.1f} | |\n")
        run("dvc", "commit", "--force", "--quiet")
        idle, status = zip(*((run("dvc", "repro")[0], run("dvc", "status")[0]) for _ in range(asked.runs)), strict=True)
        difference = statistics.median(a - b for a, b in zip(idle, status, strict=True))
        print(f"no-op dvc repro: median {statistics.median(idle):.2f} s; dvc status {statistics.median(status):.2f} s;")
        print(f"difference pair by pair, median of {asked.runs}: {difference:+.2f} s")


if __name__ == "__main__":
    main()
