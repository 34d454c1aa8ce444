"""DeepEval's metrics over our asker: one case and one answer in, one verdict out.

A metric is GEval with a rubric of ours, or one of DeepEval's own (parley/rubrics); each verdict takes a fresh object of
it. What people and models wrote stands fenced in what it is given, and its prompts say what the fence means.

Importing this module imports DeepEval 4.3.1, first told to send nothing and to keep its files in a folder
that goes when the process ends: no telemetry, no .env into the environment, no upload, no look for updates.
"""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import BaseModel

from parley.conversation import Turn
from parley.evaluation import Case
from parley.judging.asking import Asker, NotAsked, Unusable
from parley.judging.fencing import NOTICE, as_lines, expected, fenced, inside
from parley.judging.questions import Verdict
from parley.judging.rubric import Measure, Rubric
from parley.specialists.hermes import in_text, written

_FOLDER = tempfile.TemporaryDirectory(prefix="parley-deepeval-")
os.environ |= {
    "DEEPEVAL_TELEMETRY_OPT_OUT": "1",
    "DEEPEVAL_DISABLE_DOTENV": "1",
    "DEEPEVAL_DISABLE_LEGACY_KEYFILE": "1",
    "DEEPEVAL_NO_INSPECT_PROMPT": "1",
    "DEEPEVAL_CACHE_FOLDER": _FOLDER.name,
    "DEEPEVAL_HOME": _FOLDER.name,
}
for _name in ("CONFIDENT_API_KEY", "DEEPEVAL_UPDATE_WARNING_OPT_IN", "DEEPEVAL_EVAL_MODE", "DEEPEVAL_RESULTS_FOLDER"):
    os.environ.pop(_name, None)

import deepeval.metrics  # noqa: E402
from deepeval.errors import DeepEvalError  # noqa: E402
from deepeval.metrics import GEval  # noqa: E402
from deepeval.metrics.g_eval import Rubric as Anchor  # noqa: E402
from deepeval.models import DeepEvalBaseLLM  # noqa: E402
from deepeval.test_case import ConversationalTestCase, LLMTestCase, SingleTurnParams, ToolCall  # noqa: E402
from deepeval.test_case import Turn as DeepEvalTurn  # noqa: E402

T = TypeVar("T", bound=BaseModel)


class Judge(DeepEvalBaseLLM):
    """The model that DeepEval's metrics call; every call goes through the asker.

    Must not raise TypeError: DeepEval takes that for "knows no schema" and asks a second time.
    """

    def __init__(self, asker: Asker, *, preface: str = "") -> None:
        self.calls = 0  # that brought a reply
        self._asker = asker
        self._preface = preface  # of every prompt
        super().__init__(asker.target.model)

    def load_model(self) -> "Judge":
        return self

    def get_model_name(self) -> str:
        return self._asker.target.model

    def generate(self, prompt: str, schema: type[T]) -> T:
        reply = self._asker.reply(self._preface + prompt, schema)
        self.calls += 1
        return reply

    async def a_generate(self, prompt: str, schema: type[T]) -> T:
        return self.generate(prompt, schema)  # never used: metrics run in threads, with async_mode=False


_PROMPT = """\
You grade one answer of a chat model. Follow the steps, find the answer's place on the scale, and reply with one
JSON object and nothing else:
{{"reason": "what decided it, in one or two sentences", "score": a whole number from {low} to {high}}}

{notice}

Steps:
{steps}
Scale:
{scale}

Material:
{material}"""


@dataclass(frozen=True, slots=True)
class _FencedPrompt:
    """Stands in for DeepEval's own GEval template, which pastes the model's words between its own."""

    fence: str

    def generate_evaluation_results(
        self, evaluation_steps: str, test_case_content: str, rubric: str, score_range: tuple[int, int]
    ) -> str:
        low, high = score_range
        return _PROMPT.format(
            low=low,
            high=high,
            notice=NOTICE.format(fence=self.fence),
            steps=evaluation_steps,
            scale=rubric,
            material=test_case_content.strip(),
        )


def graded(case: Case, text: str, metric: str, by: Rubric | Measure, asker: Asker) -> Verdict:
    """The verdict on one answer; raises what `Asker.reply` raises, but for Unusable."""
    try:
        return _measured(case, text, by, asker) if isinstance(by, Measure) else _judged(case, text, metric, by, asker)
    except Unusable as unusable:
        return Verdict(None, "", unusable.kind)


def _judged(case: Case, text: str, metric: str, rubric: Rubric, asker: Asker) -> Verdict:
    """By a rubric of our own, in one call."""
    fence, shown = fenced({"input": as_lines(case.context), "actual_output": text, "expected_output": expected(case)})
    made = GEval(
        name=metric,
        evaluation_params=[SingleTurnParams(part) for part in rubric.compares],
        evaluation_steps=list(rubric.steps),
        rubric=[Anchor(score_range=(low, high), expected_outcome=like) for low, high, like in rubric.anchors()],
        model=Judge(asker),
        async_mode=False,
        evaluation_template=_FencedPrompt(fence),  # type: ignore[arg-type, unused-ignore]
    )
    made.measure(_plain(LLMTestCase(**shown)), _show_indicator=False)  # type: ignore[arg-type, unused-ignore]
    return Verdict(made.score, made.reason, "")


def _measured(case: Case, text: str, measure: Measure, asker: Asker) -> Verdict:
    """By a metric of DeepEval's own.

    No score, and the kind says why: "not_applicable", "empty_answer", "nothing_found", "bad_score", or a judge's
    reply that DeepEval stumbles over, "bad_reply".
    """
    if measure.shows != "tools" and not text.strip():
        return Verdict(None, "", "empty_answer")
    fence, _ = fenced({"input": as_lines(case.context)})  # of the context alone: both models share earlier calls
    test_case = _test_case(case, text, measure, lambda part: inside(fence, part))
    if not test_case:
        return Verdict(None, "", "not_applicable")
    judge = Judge(asker, preface=NOTICE.format(fence=fence) + "\n\n")
    # No reasons: each would cost a call. Whatever the settings say, no second model.
    options = {} if measure.metric == "ToolCorrectnessMetric" else {"include_reason": False}
    made = getattr(deepeval.metrics, measure.metric)(model=judge, async_mode=False, eval_mode="llm", **options)
    try:
        made.measure(_plain(test_case), _show_indicator=False)
    except NotAsked as not_asked:
        earlier = sum(turn.role == "assistant" for turn in case.context.turns)
        further = measure.calls + measure.calls_a_turn * earlier - judge.calls - 1
        raise NotAsked(replace(not_asked.call, further=max(0, further))) from None
    except (DeepEvalError, ValueError, KeyError, IndexError):
        return Verdict(None, "", "bad_reply")
    found = getattr(made, "verdicts", None)
    if measure.nothing_found == "unscored" and found is not None and all(one is None for one in found):
        return Verdict(None, "", "nothing_found")
    if not isinstance(made.score, int | float) or not 0 <= made.score <= 1:
        return Verdict(None, "", "bad_score")
    return Verdict(float(made.score), made.reason or "", "")


def _plain(test_case: LLMTestCase | ConversationalTestCase) -> Any:
    """The test case as text: "[DEEPEVAL:IMAGE:…]" is a text like any other."""
    test_case.multimodal = False
    return test_case


def _test_case(
    case: Case, text: str, measure: Measure, fence: Callable[[str], str]
) -> LLMTestCase | ConversationalTestCase | None:
    """What the metric looks at, fenced; None where the case lacks it."""
    if measure.shows in ("turns", "role"):
        if measure.shows == "role" and not case.context.system:
            return None
        spoken = [turn for turn in case.context.turns if turn.role in ("user", "assistant")]
        said = [(turn.role, fence(in_text(turn.text, turn.calls))) for turn in (*spoken, Turn("assistant", text))]
        turns = [DeepEvalTurn(role=role, content=content) for role, content in said]  # type: ignore[arg-type, unused-ignore]
        role = fence(case.context.system) if measure.shows == "role" else None
        return ConversationalTestCase(turns=turns, chatbot_role=role)
    parts: dict[str, Any] = {"input": fence(as_lines(case.context)), "actual_output": fence(text)}
    looked_at: list[Any] = [text]
    if measure.shows == "context":
        looked_at = parts["context"] = [fence(part) for part in _context(case)]
    elif measure.metric == "ToolCorrectnessMetric":  # which compares names, and asks nobody
        due = case.reference.calls or written(case.reference.text).calls
        looked_at = parts["expected_tools"] = [ToolCall(name=call.name) for call in due]
        parts["tools_called"] = [ToolCall(name=call.name) for call in written(text).calls]
    elif measure.shows == "tools":  # a prompt shows the calls, and the reference's play no part
        rows = [json.dumps(call.row(), ensure_ascii=False) for call in written(text).calls]
        looked_at = parts["tools_called"] = [ToolCall(name=fence(row)) for row in rows]
    return LLMTestCase(**parts) if looked_at else None


def _context(case: Case) -> list[str]:
    """What the answer must agree with."""
    given = case.labels.get("context") or [turn.text for turn in case.context.turns if turn.role == "tool"]
    texts = [given] if isinstance(given, str) else [str(text) for text in given]
    return [text for text in texts if text.strip()]
