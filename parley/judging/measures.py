"""DeepEval's own metrics, as parley/rubrics names them: one case and one answer in, one verdict out.

Each is a fresh object of deepeval.metrics over our judge. What people and models wrote stands fenced in what the metric
is given, and every prompt of it begins with what the fence means. DeepEval is imported after
parley.judging.verdicts, which tells it to keep quiet.
"""

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from parley.conversation import ToolCall, Turn
from parley.evaluation import Case
from parley.judging.asking import Asker, NotAsked, Unusable
from parley.judging.fencing import NOTICE, as_lines, fenced
from parley.judging.questions import Verdict
from parley.judging.rubric import Measure, Rubric
from parley.judging.verdicts import Judge, judged
from parley.specialists.hermes import in_text, written

if TYPE_CHECKING:
    from deepeval.test_case import ConversationalTestCase, LLMTestCase
    from deepeval.test_case import ToolCall as DeepEvalCall


class NotApplicable(Exception):
    """The case lacks what the metric looks at."""


def graded(case: Case, text: str, metric: str, by: Rubric | Measure, asker: Asker) -> Verdict:
    """The verdict on one answer by a metric of either kind; raises what `Asker.reply` raises, but for Unusable."""
    if isinstance(by, Measure):
        return measured(case, text, by, asker)
    return judged(case, text, metric, by, asker)


def measured(case: Case, text: str, measure: Measure, asker: Asker) -> Verdict:
    """The verdict on one answer; raises what `Asker.reply` raises, but for Unusable.

    No score, and the kind says why: "not_applicable", "empty_answer", "nothing_found", "bad_score", or a judge's
    reply that DeepEval stumbles over, "bad_reply".
    """
    import deepeval.metrics
    from deepeval.errors import DeepEvalError

    if measure.shows != "tools" and not text.strip():
        return Verdict(None, "", "empty_answer")
    fence, _ = fenced({"input": as_lines(case.context)})  # of the context alone: both models share earlier calls
    try:
        test_case = _test_case(case, text, measure, fence)
    except NotApplicable:
        return Verdict(None, "", "not_applicable")
    judge = Judge(asker, preface=NOTICE.format(fence=fence) + "\n\n")
    made = getattr(deepeval.metrics, measure.metric)(model=judge, async_mode=False, **_options(measure))
    try:
        made.measure(test_case, _show_indicator=False)
    except Unusable as unusable:
        return Verdict(None, "", unusable.kind)
    except NotAsked as not_asked:
        earlier = sum(turn.role == "assistant" for turn in case.context.turns)
        further = measure.calls + measure.calls_a_turn * earlier - judge.calls - 1
        raise NotAsked(not_asked.key, not_asked.characters, further=max(0, further)) from None
    except (DeepEvalError, ValueError, KeyError, IndexError):
        return Verdict(None, "", "bad_reply")
    return _verdict(made, measure)


def _options(measure: Measure) -> dict[str, Any]:
    """No reasons: each would cost a call. Whatever the settings say, no second model."""
    if measure.metric == "ToolCorrectnessMetric":
        return {"eval_mode": "llm"}
    return {"include_reason": False, "eval_mode": "llm"}


def _verdict(made: Any, measure: Measure) -> Verdict:
    found = getattr(made, "verdicts", None)
    if measure.nothing_found == "unscored" and found is not None and not any(one is not None for one in found):
        return Verdict(None, "", "nothing_found")
    if not isinstance(made.score, int | float) or not math.isfinite(made.score) or not 0 <= made.score <= 1:
        return Verdict(None, "", "bad_score")
    return Verdict(float(made.score), made.reason or "", "")


def _test_case(case: Case, text: str, measure: Measure, fence: str) -> "LLMTestCase | ConversationalTestCase":
    from deepeval.test_case import ConversationalTestCase, LLMTestCase
    from deepeval.test_case import Turn as DeepEvalTurn

    def inside(part: str) -> str:
        return f"<{fence}>\n{part}\n</{fence}>"

    found: LLMTestCase | ConversationalTestCase
    if measure.shows in ("turns", "role"):
        if measure.shows == "role" and not case.context.system:
            raise NotApplicable
        spoken = [turn for turn in case.context.turns if turn.role in ("user", "assistant")]
        turns = [*spoken, Turn("assistant", text)]
        said = [DeepEvalTurn(role=turn.role, content=inside(in_text(turn.text, turn.calls))) for turn in turns]  # type: ignore[arg-type, unused-ignore]
        role = inside(case.context.system) if measure.shows == "role" else None
        found = ConversationalTestCase(turns=said, chatbot_role=role)
    else:
        parts: dict[str, Any] = {"input": inside(as_lines(case.context)), "actual_output": inside(text)}
        if measure.shows == "context":
            parts["context"] = [inside(part) for part in _context(case)]
        if measure.shows == "tools":
            parts |= _calls(case, text, measure, inside)
        found = LLMTestCase(**parts)
    found.multimodal = False  # "[DEEPEVAL:IMAGE:…]" is a text like any other
    return found


def _context(case: Case) -> list[str]:
    """What the answer must agree with."""
    given = case.labels.get("context") or [turn.text for turn in case.context.turns if turn.role == "tool"]
    texts = [given] if isinstance(given, str) else [str(text) for text in given]
    if not any(text.strip() for text in texts):
        raise NotApplicable
    return [text for text in texts if text.strip()]


def _calls(case: Case, text: str, measure: Measure, inside: Callable[[str], str]) -> "dict[str, list[DeepEvalCall]]":
    from deepeval.test_case import ToolCall as DeepEvalCall

    def named(calls: tuple[ToolCall, ...]) -> list[DeepEvalCall]:
        return [DeepEvalCall(name=call.name) for call in calls]

    made = written(text).calls
    due = case.reference.calls or written(case.reference.text).calls
    if measure.metric != "ToolCorrectnessMetric":  # a prompt shows the calls, and the reference's play no part
        if not made:
            raise NotApplicable
        return {
            "tools_called": [DeepEvalCall(name=inside(json.dumps(call.row(), ensure_ascii=False))) for call in made]
        }
    if not due:
        raise NotApplicable
    return {"tools_called": named(made), "expected_tools": named(due)}
