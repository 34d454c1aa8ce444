"""Results come in order, and an error or a signal leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parley.errors import ParleyError
from parley.workers import in_order

ROOT = Path(__file__).parents[2]


def slow_square(number: int) -> tuple[int, int]:
    time.sleep(0.02 * (5 - number))
    return number * number, os.getpid()


def fail(number: int) -> int:
    if number == 1:
        raise ParleyError("no good")
    time.sleep(0 if number < 1 else 60)
    return number


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_results_come_in_the_order_of_the_jobs(workers: int) -> None:
    results, processes = zip(*in_order(slow_square, range(5), workers=workers), strict=True)
    assert results == (0, 1, 4, 9, 16)
    assert (os.getpid() in processes) == (workers == 1)


def test_whoever_waits_is_told_so_now_and_then() -> None:
    told: list[int] = []
    found = list(in_order(slow_square, [-10, -10], workers=2, meanwhile=lambda: told.append(1)))  # 0.3 s
    assert len(found) == 2 and len(told) > 1


def test_an_error_ends_the_others_at_once() -> None:
    start = time.monotonic()
    with pytest.raises(ParleyError, match="no good"):
        list(in_order(fail, range(4), workers=2))
    assert time.monotonic() - start < 30


def test_a_killed_worker_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(ParleyError, match=r"runtime\.workers"):
        list(in_order(die, range(4), workers=2))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_the_parent_ends_every_worker(number: signal.Signals) -> None:
    code = (
        "import os, sys, time, signal; from parley.workers import in_order\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "def work(n): os.write(1, b'%d\\n' % os.getpid()); time.sleep(60)\n"
        "list(in_order(work, range(4), workers=2))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stderr
    assert len({process.stdout.readline() for _ in range(2)}) == 2  # both are at work
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)  # its pipes end when the last worker is gone, not before
    assert process.returncode != 0
    assert errors.count("Traceback") == (number == signal.SIGINT)
