"""make bench: every benchmark that needs no peer's environment, each into the end of bench/results/NAME.md.

    python -m bench [NAME …]

The text above "## Measured last" in a result is people's; what stands below is replaced. A benchmark whose needs are
not met is left out, and said so. bench/train.py also compares with other trainers, whose environments it is given by
hand.
"""

import importlib.util
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
HEADING = "## Measured last"

# Name -> what follows `python -m bench.NAME`, and what it needs: a module, a VARIABLE of the environment, a file
# (with a slash), or "cuda".
BENCHES: Mapping[str, tuple[list[str], str]] = {
    "overlap": ([], ""),
    "redaction": ([], "PARLEY_REAL_DATA"),
    "encode": ([], ""),
    "judge": ([], "deepeval"),
    "data": (["--rounds", "1"], ""),
    "merge": ([], ""),
    "memory": ([], ""),
    "kill": ([], ""),
    "turn_latency": ([], ""),
    "generate": (["models/base"], "models/base/config.json"),
    "walk": ([], ""),
    "train": (["--modes", "lora", "--conversations", "20", "--pairs", "3"], ""),  # TRL takes minutes without bfloat16
    "gpu": ([], "cuda"),
}


def missing(need: str) -> str:
    """Why a benchmark can't run here; "" when it can."""
    if need == "cuda":
        import torch

        return "" if torch.cuda.is_available() else "no CUDA device"
    if "/" in need:
        return "" if Path(need).is_file() else f"there is no {need}: make repro makes it"
    if need.isupper():
        return "" if os.environ.get(need) else f"{need} is not set"
    return "" if not need or importlib.util.find_spec(need) else f"{need} is not installed"


def machine() -> str:
    """What the numbers are of."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    return (
        f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}, "
        f"commit {commit.strip() or 'unknown'}, load {os.getloadavg()[0]:.1f} before"
    )


def processor() -> str:
    """The processor's name, as the kernel has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def measure(name: str, arguments: list[str]) -> bool:
    """Runs one and writes what it printed; False if it failed, and its result stays as it was."""
    command = ["python", "-m", f"bench.{name}", *arguments]
    print(f"bench: {' '.join(command)}", flush=True)
    said, start = machine(), time.monotonic()
    found = subprocess.run([sys.executable, *command[1:]], stdout=subprocess.PIPE, text=True, check=False)
    if found.returncode:
        print(f"bench: {name}: failed with status {found.returncode}", file=sys.stderr)
        return False
    minutes, after = (time.monotonic() - start) / 60, f"and {os.getloadavg()[0]:.1f} after"
    path = HERE / "results" / f"{name}.md"
    above = path.read_text(encoding="utf-8").partition(HEADING)[0] if path.is_file() else f"# {name}\n\n"
    text = f"{HEADING}\n\n`{' '.join(command)}`, {minutes:.1f} minutes; {said} {after}.\n\n{found.stdout.strip()}\n"
    path.write_text(f"{above.rstrip()}\n\n{text}", encoding="utf-8")
    print(f"bench: {path}", flush=True)
    return True


def main(names: list[str]) -> int:
    """Exit status: 1 if one failed or has no such name."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"bench: no {', '.join(unknown)}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 1
    failed = []
    for name in names or BENCHES:
        arguments, need = BENCHES[name]
        if why := missing(need):
            print(f"bench: {name}: left out: {why}")
        elif not measure(name, arguments):
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
