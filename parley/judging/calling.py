"""Calling a judge: one answer after as many tries as it takes, or the reason why the run has to stop.

A fault that passes (429, 5xx, network, a broken body) is waited out, with jitter; a server that is overrun or names
a wait pauses every thread. A key or model that the first call finds refused stops everything at once.
"""

import random
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass

from pydantic import BaseModel

from parley.errors import ParleyError
from parley.judging.answers import Answer, Ask, Fault

FIRST_WAIT = 1.0  # seconds; doubles with each try, to at most 60
LONGEST_WAIT = 300.0  # seconds; a server that asks for more gets no further try


@dataclass(frozen=True, slots=True)
class Target:
    """Whom we ask, for the store's key and for messages."""

    client: str  # stem in parley/judges
    model: str
    host: str  # scheme and host, shown to the user
    variable: str  # environment variable that holds the key; "" for none


def bounded(ask: Ask, *, seconds: float, at_once: int) -> Ask:
    """`ask`, by at most `at_once` threads at a time, and given up after `seconds` in all, whatever the server does.

    A client's own timeout is for one read: a server that sends a byte now and then would never reach it. The thread
    that is given up ends with its connection, and keeps nobody from leaving.
    """

    places = threading.BoundedSemaphore(at_once)

    def call(prompt: str, form: type[BaseModel], max_tokens: int) -> Answer:
        with places:
            return in_time(prompt, form, max_tokens)

    def in_time(prompt: str, form: type[BaseModel], max_tokens: int) -> Answer:
        result: Future[Answer] = Future()

        def work() -> None:
            try:
                result.set_result(ask(prompt, form, max_tokens))
            except BaseException as error:
                result.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        try:
            return result.result(seconds)
        except TimeoutError:
            raise Fault("timeout", passing=True) from None

    return call


class Caller:
    """Calls one judge; threads share it, its pauses and its end."""

    def __init__(self, target: Target, *, retries: int) -> None:
        self.calls = 0  # every try
        self.welcome = False  # one call has succeeded: key and model are right
        self._target = target
        self._retries = retries
        self._lock = threading.Lock()
        self._open_at = 0.0  # monotonic seconds before which nobody calls
        self._stop = threading.Event()
        self._failure: ParleyError | None = None

    def stop(self, reason: str) -> ParleyError:
        """Ends every wait and every further try; calls under way still end and are kept. The first reason counts."""
        with self._lock:
            self._failure = self._failure or ParleyError(reason)
        self._stop.set()
        return self._failure

    def call(self, ask: Ask, prompt: str, form: type[BaseModel], max_tokens: int) -> Answer:
        """One answer; raises ParleyError when the run must stop, from then on for every thread the same."""
        for tried in range(1, self._retries + 1):
            self._wait_until_open()
            with self._lock:
                self.calls += 1
            try:
                answer = ask(prompt, form, max_tokens)
            except Fault as fault:
                if not fault.passing:
                    return self._refused(fault)
                if tried == self._retries or (fault.wait or 0) > LONGEST_WAIT:
                    raise self._gave_up(fault, tried) from None
                self._back_off(fault, tried)
            else:
                self.welcome = True
                return answer
        raise AssertionError("unreachable")

    def _wait_until_open(self) -> None:
        while (left := self._open_at - time.monotonic()) > 0 and not self._stop.is_set():
            self._stop.wait(left)
        if self._failure:
            raise self._failure

    def _back_off(self, fault: Fault, tried: int) -> None:
        """Waits before the next try; a server that is overrun (429) or names a wait pauses every thread."""
        backoff = min(60.0, FIRST_WAIT * 2 ** (tried - 1)) * random.uniform(0.5, 1.0)
        seconds = backoff if fault.wait is None else fault.wait + backoff / 10
        if fault.wait is not None or fault.kind == "http_429":
            with self._lock:
                self._open_at = max(self._open_at, time.monotonic() + seconds)
        else:
            self._stop.wait(seconds)

    def _refused(self, fault: Fault) -> Answer:
        """A lasting refusal: of this one prompt, or of the key or model, which ends the stage."""
        host, model = self._target.host, self._target.model
        if fault.kind == "http_404":
            raise self.stop(f"params.yaml: judge.model: {host} has no model {model!r} (HTTP 404): name one it has")
        status = fault.kind.replace("http_", "HTTP ")
        if fault.kind in ("http_401", "http_403") or (fault.kind == "http_400" and not self.welcome):
            advice = f"put a valid key for it into {self._target.variable}, in the environment or in .env"
            if not self._target.variable:
                advice = "it wants a key, and judge.client has none"
            raise self.stop(f"{host} refused the first call ({status}): {advice}; answers paid for earlier are kept")
        if not self.welcome:
            raise self.stop(f"{host} refused the first call ({status}): see judge.endpoint and judge.model")
        return Answer(fault.kind, "")

    def _gave_up(self, fault: Fault, tried: int) -> ParleyError:
        asked = f" and asks to wait {fault.wait:.0f} s" if (fault.wait or 0) > LONGEST_WAIT else ""
        return self.stop(
            f"{self._target.host} did not answer in {tried} tries (last: {fault.kind}){asked}; "
            "every answer so far is kept: run again later and only the missing ones are asked"
        )
