"""How fast the data stages are and how much memory they take, beside other readers of the same files.

    python -m bench.data [--mb 1000] [--rounds 3] [--only export rows cores linear near]

Makes a Discord export and JSON lines (bench/made.py), runs each reader in a process of its own, in turns, and prints
tables for bench/results/data.md. MB are 10^6 bytes of input; CPU-seconds leave out start and imports. ingest sorts,
checks and writes every record; `ijson` writes records of six fields, the other readers only read. One that is not
installed is left out.
"""

import argparse
import filecmp
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench.made import write_export, write_rows
from bench.readers import READERS
from parley.params import read_yaml

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("export", "rows", "cores", "linear", "near")


class Run(NamedTuple):
    """What one run took: CPU-seconds in all and of its workers, seconds, MB of memory at most."""

    cpu: float
    seconds: float
    peak: float
    workers_cpu: float


def measure(reader: str, folder: Path, path: Path) -> None:
    """Runs one reader in this process and prints CPU seconds, seconds and peak memory (MB) as JSON."""
    work, modules = READERS[reader]
    for module in modules:
        __import__(module)
    before = time.monotonic(), cpu()
    work(folder, path)
    seconds, cpu_seconds = time.monotonic() - before[0], cpu() - before[1]
    # Not getrusage, which counts what the process that started this one held.
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])
    print(json.dumps([cpu_seconds, seconds, peak * 1024 / 1e6, os.times().children_user + os.times().children_system]))


def cpu() -> float:
    """CPU seconds of this process and its workers."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measured(reader: str, folder: Path, path: Path) -> Run | None:
    """What `measure` prints, from a process of its own; None when the reader is not installed."""
    command = [sys.executable, "-m", "bench.data", "--reader", reader, "--folder", str(folder), "--file", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if "ModuleNotFoundError" in done.stderr:
        return None
    if done.returncode:
        sys.exit(f"{reader} failed:\n{done.stderr[-2000:]}")
    return Run(*json.loads(done.stdout.splitlines()[-1]))


def workspace(folder: Path, source: Path, *, workers: int = 1, **changes: Any) -> Path:
    """A folder with params.yaml: the project's own values, this input, and changed sections."""
    params = read_yaml(ROOT / "params.yaml")
    params["ingest"] |= {"input": str(source), "format": "auto"}
    params["runtime"]["workers"] = workers
    for section, values in changes.items():
        params[section] |= values
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(json.dumps(params))
    return folder


def compared(path: Path, readers: list[str], place: Path, rounds: int) -> Iterator[str]:
    """A table of readers of one file, measured in turns."""
    size = path.stat().st_size / 1e6
    runs: dict[str, list[Run]] = {}
    for _ in range(rounds):
        for reader in readers:
            found = measured(reader, workspace(place / "work", path), path)
            shutil.rmtree(place / "work")
            if found:
                runs.setdefault(reader, []).append(found)
    yield "| reader | MB per CPU-second, median (all runs) | ingest is faster by | peak MB |\n|---|---|---|---|"
    ours = statistics.median(size / run.cpu for run in runs["ingest"])
    for reader in readers:
        if reader not in runs:
            yield f"| {reader} | not installed | | |"
            continue
        rates = sorted(size / run.cpu for run in runs[reader])
        peak = max(run.peak for run in runs[reader])
        rate = statistics.median(rates)
        yield f"| {reader} | {rate:.0f} ({', '.join(f'{r:.0f}' for r in rates)}) | {ours / rate:.1f} | {peak:.0f} |"


def export(place: Path, size: int, rounds: int) -> Iterator[str]:
    for shape, bytes_ in (("indented", size), ("minified", size // 5), ("reversed", size // 5)):
        path = place / f"{shape}-{bytes_}.json"
        write_export(path, bytes_, shape=shape)
        yield f"\nDiscord export, {shape}, {path.stat().st_size / 1e6:.0f} MB\n"
        readers = ["ingest", "ijson", "ijson, only read", "msgspec, only read"] if shape == "indented" else ["ingest"]
        yield from compared(path, readers, place, rounds)
    yield "\nThe same where the whole file is held in memory\n"
    yield from compared(place / f"minified-{size // 5}.json", ["ingest", "json.loads"], place, 1)


def rows(place: Path, size: int, rounds: int) -> Iterator[str]:
    for dialect in ("sharegpt", "openai"):
        path = place / f"{dialect}-{size}.jsonl"
        write_rows(path, size, dialect=dialect)
        yield f"\nJSON lines, {dialect}, {path.stat().st_size / 1e6:.0f} MB\n"
        yield from compared(path, ["ingest", "json.loads by line", "datasets", "pandas"], place, rounds)


def cores(place: Path, size: int, rounds: int) -> Iterator[str]:
    """Two files, by one process and by two."""
    both = place / f"both-{size}"
    both.mkdir()
    for seed in (7, 8):
        write_export(both / f"{seed}.json", size // 2, seed=seed)
    runs: dict[int, list[Run]] = {1: [], 2: []}
    outputs = ("data/interim/messages.jsonl", "data/rejects/ingest.jsonl", "metrics/ingest.json")
    same = True
    for _ in range(rounds):
        for workers in (1, 2):
            found = measured("ingest", workspace(place / f"work{workers}", both, workers=workers), both)
            assert found
            runs[workers].append(found)
        same &= all(filecmp.cmp(place / "work1" / file, place / "work2" / file, shallow=False) for file in outputs)
        for workers in (1, 2):
            shutil.rmtree(place / f"work{workers}")
    pairs = list(zip(*runs.values(), strict=True))
    ratio = statistics.median(one.seconds / two.seconds for one, two in pairs)
    # On a machine at work with other things the clock says little: what each processor would have to do says more.
    share = statistics.median(one.cpu / (two.cpu - two.workers_cpu / 2) for one, two in pairs)
    yield f"\nTwo exports of {size / 2e6:.0f} MB: {ratio:.2f} times as fast by two processes as by one, by the clock;"
    yield f"{share:.2f} by the CPU-seconds of the busier core (medians of {rounds} pairs); seconds"
    yield f"{[[round(run.seconds, 2) for run in some] for some in runs.values()]}, CPU-seconds"
    yield f"{[[round(run.cpu, 2) for run in some] for some in runs.values()]};"
    yield f"outputs {'identical' if same else 'DIFFERENT'}."


def linear(place: Path, size: int, rounds: int) -> Iterator[str]:
    """The stages on an export and on one ten times as large."""
    yield "\n| stage | CPU-s | 10 times the rows | ratio | peak MB | 10 times the rows |\n|---|---|---|---|---|---|"
    found: dict[tuple[str, int], list[Run]] = {}
    stages, sizes = ("ingest", "convert", "validate"), (size // 100, size // 10)
    kept: dict[int, int] = {}
    for bytes_ in sizes:
        write_export(place / f"linear-{bytes_}.json", bytes_)
    for _ in range(rounds):
        for bytes_ in sizes:
            path = place / f"linear-{bytes_}.json"
            target = {"target": "900000000000000003"}
            folder = workspace(place / f"linear-{bytes_}", path, convert=target, validate={"max_reject_ratio": 1.0})
            for name in stages:
                run = measured(name, folder, path)
                assert run
                found.setdefault((name, bytes_), []).append(run)
            kept[bytes_] = json.loads((folder / "metrics/data.json").read_text())["in"]
            shutil.rmtree(folder)
    for name in stages:
        few, many = (statistics.median(run.cpu for run in found[name, bytes_]) for bytes_ in sizes)
        less, more = (max(run.peak for run in found[name, bytes_]) for bytes_ in sizes)
        yield f"| {name} | {few:.2f} | {many:.2f} | {many / few:.1f} | {less:.0f} | {more:.0f} |"
    few, many = (kept[bytes_] for bytes_ in sizes)
    yield f"\nvalidate: {few} and {many} conversations; its index takes"
    yield f"{(more - less) * 1e6 / (many - few):.0f} bytes a conversation."


def near_duplicates(place: Path, size: int, rounds: int) -> Iterator[str]:
    folder = workspace(place / "near", place)
    runs = [run for _ in range(rounds) if (run := measured("near", folder, place))]
    found = (folder / "found").read_text()
    seconds = ", ".join(f"{run.cpu:.1f}" for run in runs)
    yield f"\nNear duplicates of 100,000 conversations: {seconds} CPU-s, {found} found, {runs[0][2]:.0f} MB peak."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--reader", choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.reader:
        return measure(asked.reader, asked.folder, asked.file)
    parts = dict(zip(PARTS, (export, rows, cores, linear, near_duplicates), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.only:
            for line in parts[name](Path(folder), asked.mb * 1_000_000, asked.rounds):
                print(line, flush=True)


if __name__ == "__main__":
    main()
