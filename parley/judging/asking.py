"""Asking a judge: each question paid for once, faults that pass waited out, faults that last told apart.

question ─store→ answer ─parse→ reply          nothing is asked
question ─client→ answer ─store→ answer ─parse→ reply
             └ 429, 5xx, network, broken body: again later; after the last try the stage stops
             └ blocked, cut off, not JSON, score out of range: asked once more, then Unusable
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from parley.errors import ParleyError
from parley.judging.answers import Answer, Ask, Store, answer_key
from parley.judging.calling import Caller, Target

T = TypeVar("T", bound=BaseModel)

ATTEMPTS = 2  # answers to one question, ever: what is unusable is asked once more, at most
MAX_TOKENS = 8192  # of one answer, thinking included; four times as many at the second attempt
SCORES = (0, 10)  # what a field `score` of a reply may be


class Unusable(Exception):
    """There is an answer, twice, and neither is a verdict. `kind` says why: "bad_json", "safety" …"""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Call:
    """What would be asked."""

    key: str  # the same for the same question
    characters: int  # of the prompt
    further: int = 0  # calls that are expected to follow from its answer, each as long


class NotAsked(Exception):
    """The store has no usable answer to this call yet, and the asker is offline."""

    def __init__(self, call: Call) -> None:
        super().__init__(call.key)
        self.call = call


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

    def __init__(
        self,
        target: Target,
        store: Store,
        connect: Callable[[], Ask],
        *,
        retries: int,
        max_calls: int,
        concurrency: int = 1,
    ) -> None:
        self.target = target
        self.connect = connect
        self.max_calls = max_calls
        self.concurrency = concurrency  # calls under way at once
        self.tokens_in = 0
        self.tokens_out = 0
        self._store = store
        self._caller = Caller(target, retries=retries)
        self._ask: Ask | None = None
        self._calls_left = max_calls  # paid ones: a try that brings no answer costs none
        self._lock = threading.Lock()
        self._flights: dict[str, threading.Lock] = {}
        self._first = threading.Lock()

    @property
    def calls(self) -> int:
        """Every try so far."""
        return self._caller.calls

    def stop(self, reason: str) -> ParleyError:
        """Ends every wait and every further try; calls under way still end and are kept."""
        return self._caller.stop(reason)

    def reply_tokens(self, least: int) -> int:
        """Mean tokens of the answers kept from this client and model; 0 with fewer than `least`."""
        for client, model, answers, _, _, tokens_out, *_ in self._store.contents():
            if (client, model) == (self.target.client, self.target.model) and answers >= least:
                return round(tokens_out / answers)
        return 0

    def close(self) -> None:
        """Ends the use of the store."""
        self._store.close()

    def go_online(self) -> None:
        """From now on, what the store lacks is asked."""
        self._ask = self.connect()

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

    def _fetch(self, key: str, attempt: int, prompt: str, form: type[BaseModel]) -> Answer:
        if not self._ask:
            raise NotAsked(Call(key, len(prompt)))
        with self._lock:
            self._calls_left -= 1
        if self._calls_left < 0:
            raise self.stop(
                "judge.max_calls is used up, more calls were needed than foreseen, or answers asked for again: raise it"
            )
        with self._first:  # until a call has succeeded one at a time: a wrong key must not cost one a thread
            if not self._caller.welcome:
                return self._paid(self._ask, key, attempt, prompt, form)
        return self._paid(self._ask, key, attempt, prompt, form)

    def _paid(self, ask: Ask, key: str, attempt: int, prompt: str, form: type[BaseModel]) -> Answer:
        """A new answer, in the store before anybody looks at it."""
        answer = self._caller.call(ask, prompt, form, MAX_TOKENS * 4**attempt)
        self._store.keep(key, attempt, self.target.client, self.target.model, answer)
        with self._lock:
            self.tokens_in += answer.tokens_in
            self.tokens_out += answer.tokens_out
        return answer
