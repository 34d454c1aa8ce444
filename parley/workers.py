"""Work spread over processes: results in the order of the jobs, and nobody left behind."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from typing import TypeVar

from parley.errors import ParleyError

ENDINGS = (signal.SIGINT, signal.SIGTERM)
J = TypeVar("J")
T = TypeVar("T")

PAUSE = 0.1  # seconds between two calls of `meanwhile`


def in_order(
    work: Callable[[J], T], jobs: Iterable[J], *, workers: int, meanwhile: Callable[[], object] = bool
) -> Iterator[T]:
    """work(job) of every job, by at most `workers` processes; by this one where a second has nothing to do.

    Few jobs are waiting or done at once, however many there are. An error in one of them, Ctrl-C or SIGTERM ends all,
    and is raised once they are gone. meanwhile: called now and then while other processes work.
    """
    remaining = iter(jobs)
    first = list(islice(remaining, workers))
    remaining = chain(first, remaining)
    if len(first) < 2:
        yield from map(work, remaining)
        return
    context = multiprocessing.get_context("fork")  # no second start of Python, no second import
    with ProcessPoolExecutor(len(first), context, initializer=_begin) as pool:
        try:
            with _undisturbed():  # the first job starts the processes
                waiting = deque(pool.submit(work, job) for job in islice(remaining, 2 * len(first)))
            while waiting:
                while not waiting[0].done():
                    wait([waiting[0]], PAUSE)
                    meanwhile()
                yield waiting.popleft().result()
                waiting.extend(pool.submit(work, job) for job in islice(remaining, 1))
        except BaseException as error:
            for child in multiprocessing.active_children():
                child.terminate()
            pool.shutdown(cancel_futures=True)
            if isinstance(error, BrokenProcessPool):
                raise ParleyError(
                    "a worker process was ended from outside, most often for lack of memory: lower runtime.workers"
                ) from None
            raise


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until the end: inside the hooks of a fork Python would swallow what they raise."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """In a worker: Ctrl-C is for the parent, which ends the workers; a parent that was killed can't."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a process has a core, no more
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)
