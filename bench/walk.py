"""Seconds and peak memory of each stage of the default pipeline, and what DVC adds when nothing changed.

    python bench/walk.py [--recipe persona] [--runs 5]

Works in a temporary clone of the last commit. The stages run one after another in `dvc repro` order, each as
the process that DVC would start; then `dvc repro` fills the cache, and a no-op `dvc repro` and `dvc status`
are timed in turns. Prints a table for bench/results/.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def measured(command: list[str], place: Path) -> tuple[float, float]:
    """(seconds, peak memory in MB) of one process; stops with its output if it fails."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=place, stdout=log, stderr=subprocess.STDOUT, env=_environment())
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            log.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{log.read().decode(errors='replace')}")
    return time.monotonic() - start, usage.ru_maxrss / 1024


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("GEMINI_API_KEY", "GOOGLE_API_KEY")}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}", "DVC_NO_ANALYTICS": "1"}


def order(place: Path) -> list[str]:
    """Stage names as `dvc repro` would run them."""
    code = "from dvc.repo import Repo; from dvc.repo.reproduce import plan_repro; from dvc.repo.graph import *\n"
    code += "repo = Repo(); print('\\n'.join(s.addressing for s in plan_repro(repo.index.graph)))"
    found = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=True)
    return found.stdout.split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="persona")
    parser.add_argument("--runs", type=int, default=5, help="pairs of no-op repro and status")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "parley"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(place)], check=True)
        subprocess.run([sys.executable, "-m", "tools.recipe", asked.recipe, "--force"], cwd=place, check=True)
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, recipe {asked.recipe}\n")
        print("| stage | seconds | peak MB |\n|---|---|---|")
        total = 0.0
        for stage in order(place):
            name, _, item = stage.partition("@")
            seconds, peak = measured([sys.executable, "-m", f"stages.{name}", *([item] if item else [])], place)
            total += seconds
            print(f"| {stage} | {seconds:.1f} | {peak:.0f} |", flush=True)
        print(f"| all stages | {total:.1f} | |\n")
        seconds, _ = measured([sys.executable, "-m", "dvc", "commit", "--force", "--quiet"], place)
        idle, status = [], []
        for _ in range(asked.runs):
            idle.append(measured([sys.executable, "-m", "dvc", "repro"], place)[0])
            status.append(measured([sys.executable, "-m", "dvc", "status"], place)[0])
        difference = statistics.median(a - b for a, b in zip(idle, status, strict=True))
        print(
            f"no-op dvc repro: median {statistics.median(idle):.2f} s; dvc status {statistics.median(status):.2f} s; "
        )
        print(f"difference pair by pair, median of {asked.runs}: {difference:+.2f} s")


if __name__ == "__main__":
    main()
