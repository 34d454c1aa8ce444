"""DeepEval's metrics over our asker: one case and one rubric in, one verdict out.

Importing this module imports DeepEval 4.3.1, first told to send nothing and to keep its files in a folder
that goes when the process ends: no telemetry, no .env into the environment, no upload, no look for updates.
"""

import os
import tempfile
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from parley.evaluation import Case
from parley.judging.asking import Asker, Unusable
from parley.judging.fencing import NOTICE, as_lines, expected, fenced
from parley.judging.questions import Verdict
from parley.judging.rubric import Rubric

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

from deepeval.metrics import GEval  # noqa: E402
from deepeval.metrics.g_eval import Rubric as Anchor  # noqa: E402
from deepeval.models import DeepEvalBaseLLM  # noqa: E402
from deepeval.test_case import LLMTestCase, SingleTurnParams  # noqa: E402

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


def judged(case: Case, text: str, metric: str, rubric: Rubric, asker: Asker) -> Verdict:
    """The verdict on one answer; raises what `Asker.reply` raises, but for Unusable."""
    parts = {"input": as_lines(case.context), "actual_output": text, "expected_output": expected(case)}
    fence, shown = fenced(parts)
    test_case = LLMTestCase(**shown)  # type: ignore[arg-type, unused-ignore]
    test_case.multimodal = False  # "[DEEPEVAL:IMAGE:…]" is a text like any other
    graded = GEval(
        name=metric,
        evaluation_params=[SingleTurnParams(part) for part in rubric.compares],
        evaluation_steps=list(rubric.steps),
        rubric=[Anchor(score_range=(low, high), expected_outcome=like) for low, high, like in rubric.anchors()],
        model=Judge(asker),
        async_mode=False,
        evaluation_template=_FencedPrompt(fence),  # type: ignore[arg-type, unused-ignore]
    )
    try:
        graded.measure(test_case, _show_indicator=False)
    except Unusable as unusable:
        return Verdict(None, "", unusable.kind)
    return Verdict(graded.score, graded.reason, "")
