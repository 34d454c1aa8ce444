"""The judge against DeepEval's own evaluate() with its GeminiModel: wall time, calls and CPU on a slow server.

    python -m bench.judge [--cases 100] [--latency 0.3]

A Gemini server in a process of its own answers every call after `latency` seconds. Both sides ask it GEval with fixed
steps, three metrics on each case, one call a metric; DeepEval's `max_concurrent` counts cases, so its number is that of
parley divided by the metrics. Imports are apart. Prints a table for bench/results/.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

from parley.conversation import Conversation, Turn
from parley.evaluation import Case, Generation
from parley.judging.clients import ClientSettings, open_judge
from parley.judging.questions import answer
from parley.judging.rubric import Rubric, read_rubrics

ROOT = Path(__file__).resolve().parent.parent
METRICS = ("correctness", "coherence", "fit")
SERVER = """
import sys, time
sys.path[:0] = [{root!r}]
from tests.loopback import JudgeServer
with JudgeServer(latency={latency}) as server:
    print(server.url, flush=True)
    seen = 0
    for line in sys.stdin:
        print(len(server.requests) - seen, server.peak, flush=True)
        seen, server.peak = len(server.requests), 0
"""


class Server:
    """A judge's server in another process, which counts what it was asked."""

    def __init__(self, latency: float) -> None:
        code = SERVER.format(root=str(ROOT), latency=latency)
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin and self._process.stdout
        self._in, self._out = self._process.stdin, self._process.stdout
        self.url = self._out.readline().strip()

    def counted(self) -> tuple[int, int]:
        """(requests, most at once) since the last call of this."""
        self._in.write("\n")
        self._in.flush()
        requests, peak = self._out.readline().split()
        return int(requests), int(peak)

    def close(self) -> None:
        self._in.close()
        self._process.wait()


def cases(count: int) -> list[tuple[Case, Generation]]:
    """Test cases of one turn, each different, with an answer."""
    made = []
    for number in range(count):
        asked = Turn("user", f"Did you see what happened at the harbour on day {number}? Tell me all you know.")
        case = Case(
            f"c{number}#1", "test", Conversation(f"c{number}", (asked,)), Turn("assistant", f"A ship, {number}.")
        )
        made.append((case, Generation(case.id, f"Yes, a ship came in, the {number}th this year.", "stop", 9, ())))
    return made


def rubric_of(metric: str) -> Rubric:
    """A shipped rubric, or one more of the same size."""
    if metric != "fit":
        return read_rubrics([metric])[metric]
    shipped = rubric_of("coherence")
    return shipped.model_copy(update={"steps": ["Judge how well the answer fits.", *shipped.steps[1:]]})


def parley_run(root: Path, url: str, count: int, concurrency: int) -> None:
    """The judge stage's own path: plan from kept answers, then ask in threads."""
    from parley.judging.verdicts import graded

    params = ClientSettings(
        client="gemini",
        model="gemini-3.6-flash",
        endpoint=url,
        concurrency=concurrency,
        timeout=60,
        retries=3,
        max_calls=10_000,
    )
    asker = open_judge(root, params)
    rubrics = {name: rubric_of(name) for name in METRICS}
    questions = [
        lambda case=case, made=made, name=name: graded(case, made.text, name, rubrics[name], asker)
        for case, made in cases(count)
        for name in METRICS
    ]
    verdicts = answer(questions, asker, name="bench", sent="made-up cases")
    assert {verdict.score for verdict in verdicts} == {0.8}
    asker.close()


def deepeval_run(root: Path, url: str, count: int, concurrency: int) -> None:
    """DeepEval's evaluate() with its own GeminiModel, one after another as its users have it."""
    from deepeval import evaluate
    from deepeval.evaluate import AsyncConfig, CacheConfig, DisplayConfig
    from deepeval.metrics import GEval
    from deepeval.models import GeminiModel
    from deepeval.test_case import LLMTestCase, SingleTurnParams

    os.chdir(root)  # where it writes its files
    model = GeminiModel(model="gemini-3.6-flash", api_key="bench", http_options={"base_url": url})
    metrics = [
        GEval(
            name=name,
            evaluation_params=[SingleTurnParams(part) for part in rubric_of(name).compares],
            evaluation_steps=list(rubric_of(name).steps),
            model=model,
        )
        for name in METRICS
    ]
    tests = [
        LLMTestCase(input=case.context.turns[0].text, actual_output=made.text, expected_output=case.reference.text)
        for case, made in cases(count)
    ]
    found = evaluate(
        tests,
        metrics,
        async_config=AsyncConfig(max_concurrent=max(1, concurrency // len(METRICS))),
        cache_config=CacheConfig(),
        display_config=DisplayConfig(show_indicator=False, print_results=False),
    )
    assert len(found.test_results) == count


WAYS = (("parley", parley_run), ("parley, again", parley_run), ("evaluate() + GeminiModel", deepeval_run))


@contextmanager
def quiet() -> Iterator[None]:
    """DeepEval prints its results whatever it is told."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def measured(run: Callable[[], None]) -> tuple[float, float]:
    """(wall seconds, CPU seconds of this process)."""
    wall, spent = time.monotonic(), time.process_time()
    with quiet():
        run()
    return time.monotonic() - wall, time.process_time() - spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--latency", type=float, default=0.3)
    asked = parser.parse_args()
    os.environ["GEMINI_API_KEY"] = "bench"
    import parley.judging.verdicts  # noqa: F401  # with DeepEval's telemetry off, for both sides
    from parley.judges import gemini

    server = Server(asked.latency)
    gemini.connect(key="bench", model="m", endpoint=server.url, timeout=1)  # imports
    print(f"{asked.cases} cases x {len(METRICS)} metrics, {1000 * asked.latency:.0f} ms a call\n")
    print("| way | concurrency | calls | most at once | wall s | of ideal | CPU ms a call |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for concurrency in (8, 32):
            root = Path(folder) / str(concurrency)
            root.mkdir()
            for name, way in WAYS:
                wall, spent = measured(partial(way, root, server.url, asked.cases, concurrency))
                calls, peak = server.counted()
                ideal = calls * asked.latency / concurrency
                rest = f"{wall / ideal:.2f} | {1000 * spent / calls:.1f}" if calls else "– | –"
                print(f"| {name} | {concurrency} | {calls} | {peak} | {wall:.2f} | {rest} |", flush=True)
    server.close()


if __name__ == "__main__":
    main()
