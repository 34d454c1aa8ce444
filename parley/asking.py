"""Asking a judge: each question paid for once, faults that pass waited out, faults that last told apart.

question ─store→ answer ─parse→ reply          nothing is asked
question ─client→ answer ─store→ answer ─parse→ reply
             └ 429, 5xx, network, broken body: again later; after the last try the stage stops
             └ blocked, cut off, not JSON, score out of range: asked once more, then Unusable
"""

import os
import random
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from parley.answers import Answer, Ask, Fault, Store, answer_key
from parley.errors import ParleyError

T = TypeVar("T", bound=BaseModel)

ATTEMPTS = 2  # answers to one question, ever: what is unusable is asked once more, at most
MAX_TOKENS = 8192  # of one answer, thinking included; four times as many at the second attempt
SCORES = (0, 10)  # what a field `score` of a reply may be
FIRST_WAIT = 1.0  # seconds; doubles with each try, to at most 60
LONGEST_WAIT = 300.0  # seconds; a server that asks for more gets no further try


class Unusable(Exception):
    """There is an answer, twice, and neither is a verdict. `kind` says why: "bad_json", "safety" …"""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class NotAsked(Exception):
    """The store has no usable answer to the question of this key yet, and the asker is offline."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


@dataclass(frozen=True, slots=True)
class Target:
    """Whom we ask, for the store's key and for messages."""

    client: str  # stem in parley/judges
    model: str
    host: str  # scheme and host, shown to the user
    variable: str  # environment variable that holds the key


def find_key(names: tuple[str, ...], home: Path) -> tuple[str, str] | None:
    """(variable, key): the first of `names` that is set in the environment or in home/.env, and not empty."""
    from dotenv import dotenv_values

    written: Mapping[str, str | None] = dotenv_values(home / ".env")
    for name in names:
        value = (os.environ.get(name) or written.get(name) or "").strip()
        if value:
            return name, value
    return None


def parse(answer: Answer, form: type[T]) -> T:
    """The reply as a `form`; raises Unusable for an answer that is no whole, valid reply."""
    if answer.finish != "stop":
        raise Unusable(answer.finish)
    text = answer.text.strip()
    fenced = re.fullmatch(r"```(?:json)?\s*\n(.*?)\n?\s*```", text, re.DOTALL)
    try:
        reply = form.model_validate_json(fenced[1] if fenced else text, strict=True)
    except ValidationError:
        raise Unusable("bad_json" if text else "empty") from None
    score = getattr(reply, "score", SCORES[0])
    if not SCORES[0] <= score <= SCORES[1]:  # NaN is not within either
        raise Unusable("bad_score")
    return reply


class Asker:
    """Replies to prompts, from the store or, once it is online, from the client. Threads may share it."""

    def __init__(self, target: Target, store: Store, *, retries: int, max_calls: int) -> None:
        self.target = target
        self.calls = 0  # every try
        self.tokens_in = 0
        self.tokens_out = 0
        self._store = store
        self._ask: Ask | None = None
        self._retries = retries
        self._calls_left = max_calls  # paid ones: a try that brings no answer costs none
        self._lock = threading.Lock()
        self._flights: dict[str, threading.Lock] = {}
        self._first = threading.Lock()
        self._welcome = False  # one call has succeeded: key and model are right
        self._open_at = 0.0  # monotonic seconds before which nobody calls
        self._stop = threading.Event()
        self._failure: ParleyError | None = None

    def go_online(self, ask: Ask) -> None:
        """From now on, what the store lacks is asked."""
        self._ask = ask

    def reply(self, prompt: str, form: type[T]) -> T:
        """The parsed reply to one question.

        Raises Unusable (a lasting refusal), NotAsked (offline) or ParleyError (the stage must stop; from then
        on every thread gets the same one).
        """
        key = answer_key(self.target.client, self.target.host, self.target.model, prompt, form)
        with self._lock:
            flight = self._flights.setdefault(key, threading.Lock())
        with flight:  # the same question at the same time waits here, then finds the answer in the store
            answers = self._store.read(key)
            for attempt in range(ATTEMPTS):
                if attempt == len(answers):
                    answers.append(self._fetch(key, attempt, prompt, form))
                try:
                    return parse(answers[attempt], form)
                except Unusable as unusable:
                    kind = unusable.kind
            raise Unusable(kind)

    def stop(self, reason: str) -> ParleyError:
        """Ends every wait and every further try; calls under way still end and are kept. The first reason counts."""
        with self._lock:
            self._failure = self._failure or ParleyError(reason)
        self._stop.set()
        return self._failure

    def _fetch(self, key: str, attempt: int, prompt: str, form: type[BaseModel]) -> Answer:
        if not self._ask:
            raise NotAsked(key)
        with self._lock:
            self._calls_left -= 1
        if self._calls_left < 0:
            raise self.stop("judge.max_calls is used up, since unusable answers were asked for again: raise it")
        with self._first:  # until a call has succeeded one at a time: a wrong key must not cost one a thread
            if not self._welcome:
                return self._paid(self._ask, key, attempt, prompt, form)
        return self._paid(self._ask, key, attempt, prompt, form)

    def _paid(self, ask: Ask, key: str, attempt: int, prompt: str, form: type[BaseModel]) -> Answer:
        """A new answer, in the store before anybody looks at it."""
        answer = self._call(ask, prompt, form, MAX_TOKENS * 4**attempt)
        self._store.keep(key, attempt, self.target.client, self.target.model, answer)
        with self._lock:
            self.tokens_in += answer.tokens_in
            self.tokens_out += answer.tokens_out
        return answer

    def _call(self, ask: Ask, prompt: str, form: type[BaseModel], max_tokens: int) -> Answer:
        """One answer, after as many tries as it takes."""
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
                self._welcome = True
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
        host, model = self.target.host, self.target.model
        if fault.kind == "http_404":
            raise self.stop(f"params.yaml: judge.model: {host} has no model {model!r} (HTTP 404): name one it has")
        if fault.kind in ("http_401", "http_403") or not self._welcome:
            status = fault.kind.replace("http_", "HTTP ")
            raise self.stop(
                f"{host} refused the first call ({status}): put a valid key for it into {self.target.variable}, "
                "in the environment or in .env, then run again; answers paid for earlier are kept"
            )
        return Answer(fault.kind, "")

    def _gave_up(self, fault: Fault, tried: int) -> ParleyError:
        asked = f" and asks to wait {fault.wait:.0f} s" if (fault.wait or 0) > LONGEST_WAIT else ""
        return self.stop(
            f"{self.target.host} did not answer in {tried} tries (last: {fault.kind}){asked}; "
            "every answer so far is kept: run again later and only the missing ones are asked"
        )
