"""The questions of one run to a judge: what they come to, and their verdicts, asked side by side.

A question is a function that returns a verdict (of whatever type) or raises what `Asker.reply` raises: NotAsked while
the asker is offline, ParleyError when the run must stop. What several calls decide is best several questions.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from parley.errors import ParleyError
from parley.evaluation import Score, Unscored
from parley.judging.asking import Asker, Call, NotAsked
from parley.progress import tracked


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's parsed reply, or why there is none."""

    score: float | None  # 0 to 1
    reason: str  # the judge's words; they may quote the conversation
    kind: str  # "" when there is a score

    @property
    def scored(self) -> Score | Unscored:
        """For parley.scoring.statistics."""
        return Unscored(self.kind) if self.score is None else Score(self.score)


V = TypeVar("V")
Question: TypeAlias = Callable[[], Verdict]
CHARACTERS = 4  # of a prompt for each token, roughly: in English; up to three times as many tokens elsewhere


@dataclass(frozen=True, slots=True)
class Plan(Generic[V]):
    """What the kept answers settle, and what the rest would take."""

    kept: dict[int, V]  # index of the question -> its verdict
    missing: dict[int, Call]  # index of the question -> the first call that it lacks

    @property
    def calls(self) -> int:
        """Calls that are needed."""
        return calls_of(self.missing.values())

    @property
    def tokens(self) -> int:
        """Of the prompts of those calls, estimated."""
        needed = {call.key: call.characters * (1 + call.further) for call in self.missing.values()}
        return sum(needed.values()) // CHARACTERS


def calls_of(first: Iterable[Call]) -> int:
    """These calls and those that follow from them; the same one for two questions is one."""
    return sum({call.key: 1 + call.further for call in first}.values())


def plan(questions: Sequence[Callable[[], V]]) -> Plan[V]:
    """Puts every question to the kept answers alone; nothing is asked."""
    found: Plan[V] = Plan({}, {})
    for index, question in enumerate(questions):
        try:
            found.kept[index] = question()
        except NotAsked as not_asked:
            found.missing[index] = not_asked.call
    return found


def answer(questions: Sequence[Callable[[], V]], asker: Asker, *, name: str, sent: str) -> list[V]:
    """A verdict for each question: from the kept answers, then by asking for what is missing.

    Says what leaves this machine (`sent`), before it does; more calls than the asker may make stop before the first.
    """
    found = plan(questions)
    if not found.missing:
        return [found.kept[index] for index in range(len(questions))]
    if found.calls > asker.max_calls:
        raise ParleyError(
            f"params.yaml: judge.max_calls is {asker.max_calls}, and {found.calls} calls are needed (`make judge-plan` "
            "says what they cost): raise it, or ask about less; nothing was asked"
        )
    print(
        f"{name}: sending {sent} (redacted as `redact` in params.yaml says) in {found.calls} calls, about "
        f"{found.tokens:,} tokens, to {asker.target.host}, model {asker.target.model}; "
        f"{len(found.kept)} of {len(questions)} verdicts are kept ones",
        flush=True,
    )
    asker.go_online()
    first: dict[str, int] = {}  # a question that waits for another's answer comes later: it would hold a thread
    ordered = sorted(found.missing, key=lambda index: first.setdefault(found.missing[index].key, index) != index)
    verdicts = found.kept | _in_threads(questions, ordered, asker, name)
    return [verdicts[index] for index in range(len(questions))]


def _in_threads(questions: Sequence[Callable[[], V]], indices: Sequence[int], asker: Asker, name: str) -> dict[int, V]:
    """Index -> verdict. The first error ends the run; calls under way are waited for, since they are paid for.

    A few threads more than calls at once: while one writes its answer to the disk, another calls.
    """
    with ThreadPoolExecutor(asker.concurrency + asker.concurrency // 4) as pool:
        futures = {pool.submit(questions[index]): index for index in indices}
        try:
            done = tracked(as_completed(futures), name, len(futures), "verdicts")
            return {futures[future]: future.result() for future in done}
        except BaseException:
            asker.stop("stopped")
            print(f"{name}: stopping; waiting for the calls under way, to keep their answers", file=sys.stderr)
            pool.shutdown(wait=False, cancel_futures=True)
            raise
