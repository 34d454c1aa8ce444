"""Around every stage: how it starts, what it counts, how it ends.

A stage is `def main(root: Path) -> None` and, below it, `if __name__ == "__main__": run("encode", main)`.
"""

import errno
import hashlib
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parley.errors import ParleyError
from parley.files import write_json

_FULL = (
    "no space left",
    "os error 28",
    "disk is full",
    "disk quota exceeded",
    "iostream error",
    "unexpected pos",
    "file write failed",
)

# Exit statuses: 1 a ParleyError or an unforeseen error, 130 Ctrl-C, 143 SIGTERM (128 + the signal, as shells do).


def run(name: str, main: Callable[[Path], None]) -> None:
    """Runs a stage in the current folder, records its seconds and memory, and turns errors into messages.

    An unforeseen error prints its type and frames but not its message, which could quote somebody's
    words; PARLEY_DEBUG=1 prints the message too.
    """
    signal.signal(signal.SIGTERM, _terminated)
    # How often libgomp's threads look for work before they sleep. Asleep at once, as PASSIVE has them, small models
    # train half as fast; spinning on, as ACTIVE has them, they make a stage beside another busy program many times
    # slower. It must be set before torch is loaded, and changes no result.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    start = time.monotonic()
    try:
        main(Path())
        _write_timing(Path(), name, seconds=time.monotonic() - start)
    except ParleyError as error:
        _stop(f"{name}: {error}")
    except KeyboardInterrupt:
        print(f"\n{name}: stopped; nothing half-written is left, the next run goes on", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if _disk_full(error):
            free = shutil.disk_usage(Path()).free
            _stop(
                f"{name}: no space left on the disk ({free:,} bytes free here): free some and run again; "
                "nothing half-written is left"
            )
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            _stop(f"{name}: {error.filename or 'an output'}: {error.strerror}: give yourself the right, and run again")
        if os.environ.get("PARLEY_DEBUG") == "1":
            raise
        frames = "".join(traceback.format_tb(error.__traceback__))
        _stop(
            f"{name}: unforeseen {type(error).__name__}; its message is kept back because it could quote a turn\n"
            f"{frames}PARLEY_DEBUG=1 shows the message. Please report it, without the message if it is private."
        )


def _stop(message: str) -> None:
    print(message, file=sys.stderr)
    sys.exit(1)


def _terminated(signum: int, frame: object) -> None:
    # As an exception, so that every `publish` on the stack clears its scratch folder.
    sys.exit(128 + signum)


def _disk_full(error: Exception) -> bool:
    """Whether that is what an error says; torch, safetensors and SQLite have words of their own for it."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return any(sign in str(error).lower() for sign in _FULL)


def write_counts(path: Path, *, rows_in: int, rows_out: int, dropped: Counter[str], **more: Any) -> None:
    """metrics/<stage>.json of an arrow of the walk; refuses counts that do not add up.

    rows_in = rows_out + the sum of `dropped` (reason or code -> rows). `more` holds other figures,
    never text.
    """
    if rows_in != rows_out + dropped.total():
        raise AssertionError(f"{path}: {rows_in} in, {rows_out} out, {dropped.total()} dropped: they do not add up")
    counts = {"in": rows_in, "out": rows_out, "dropped": dict(sorted(dropped.items())), **more}
    write_json(path, counts)


def timing_file(name: str, params: bytes, argument: str = "") -> str:
    """Name of a stage's record in metrics/timing: other params.yaml, other file, so every experiment has its own."""
    return f"{name}-{hashlib.sha256(params + argument.encode()).hexdigest()[:12]}.json"


def _write_timing(root: Path, name: str, *, seconds: float) -> None:
    """$DVC_ROOT/metrics/timing/<stage>-<input hash>.json: what must not be in an output, since it differs each run."""
    own, workers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    record = {
        "stage": name,
        "argument": " ".join(sys.argv[1:]),
        "seconds": round(seconds, 3),
        "cpu_seconds": round(own.ru_utime + own.ru_stime + workers.ru_utime + workers.ru_stime, 3),
        "peak_memory_mb": round(max(own.ru_maxrss, workers.ru_maxrss) / 1024, 1),  # of the largest process
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **_extra_timing,
    }
    home = Path(os.environ.get("DVC_ROOT") or root)
    file = timing_file(name, (root / "params.yaml").read_bytes(), " ".join(sys.argv[1:]))
    write_json(home / "metrics" / "timing" / file, record)


_extra_timing: dict[str, Any] = {}


def add_timing(**figures: float | str) -> None:
    """Adds figures (rates, device, dates) to this process's timing record; they go nowhere else."""
    json.dumps(figures)
    _extra_timing.update(figures)
