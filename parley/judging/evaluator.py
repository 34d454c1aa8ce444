"""Judging a model from a program, under the names of an earlier script (docs/from_the_seeds.md).

    evaluator = parley.MultiTurnEvaluator(model_path="models/trained", base_model_name="models/base")
    evaluator.evaluate_on_dataset(dataset_name="data/splits/test.jsonl", test_size=100)["correctness"]

The settings are those of parley's walk: judge, kept answers and rubrics are the same. Only held-out data are judged, an
answer without a score is in no mean, and nothing goes over the network before a method is called.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, create_model

from parley.conversation import Conversation, Turn, to_sharegpt
from parley.errors import ParleyError
from parley.evaluation import Case, case_at
from parley.ingestion.reading import head_of
from parley.judging.answers import Fault
from parley.judging.asking import Asker
from parley.judging.clients import ClientSettings, NoJudge, judge_or_stop, open_judge
from parley.judging.questions import answer
from parley.judging.rubric import read_judged
from parley.plugins import plugin
from parley.scoring.statistics import mean

if TYPE_CHECKING:
    from parley.inference.generation import Answer

T = TypeVar("T", bound=BaseModel)

MODEL = "gemini-3.6-flash"
METRICS = ("correctness", "coherence", "relevancy", "context_consistency", "hallucination")
RESAMPLES = 2000


class GeminiModel:
    """A judge over kept answers: `generate` gives the reply to a prompt in the form of a pydantic class.

    With `client` it is any judge of parley/judges. Answers are in `root`/.judge, and none is paid for twice.
    """

    def __init__(
        self,
        model_name: str = MODEL,
        *,
        client: str = "gemini",
        endpoint: str = "",
        max_calls: int = 2000,
        root: str | Path = ".",
    ) -> None:
        options = {"concurrency": 8, "timeout": 60, "retries": 5, "max_calls": max_calls}
        self.settings = ClientSettings(client=client, model=model_name, endpoint=endpoint, **options)
        self.root = Path(root)

    def get_model_name(self) -> str:
        """The judge model."""
        return self.settings.model

    def generate(self, prompt: str, schema: type[T]) -> T:
        """The reply; raises parley.ParleyError without a key, or when the judge can't be reached."""
        asker = self.open()
        try:
            asker.go_online()
            return asker.reply(prompt, schema)
        finally:
            asker.close()

    def open(self) -> Asker:
        """What asks."""
        return judge_or_stop(self.root, self.settings)


def validate_gemini_api(model: GeminiModel | None = None) -> str:
    """ "ok", or why the judge can't be used: "no GEMINI_API_KEY", "http_403", "timeout" … Makes one small paid call."""
    judge = model or GeminiModel()
    try:
        asker = open_judge(judge.root, judge.settings)
        asker.close()
        ping = create_model("Ping", reason=(str, ...))
        finish = asker.connect()('Reply {"reason": "ok"}', ping, 1024).finish
    except NoJudge as nobody:
        return str(nobody)
    except Fault as fault:
        return fault.kind
    return "ok" if finish == "stop" else finish


def create_sample_test_data() -> list[dict[str, Any]]:
    """Three made-up ShareGPT rows, one of several turns, as `evaluate_on_dataset` takes them in a file."""
    talks = [
        ("What is the capital of Norway?", "Oslo."),
        ("How many legs has a spider?", "Eight."),
        ("I am Mia and I like tea.", "Hi Mia!", "What do I like?", "Tea, you said."),
    ]
    rows = []
    for number, talk in enumerate(talks):
        turns = tuple(Turn("assistant" if place % 2 else "user", text) for place, text in enumerate(talk))
        rows.append(to_sharegpt(Conversation(f"sample-{number}", turns, group=f"sample-{number}")))
    return rows


class MultiTurnEvaluator:
    """A fine-tuned model (merged, or an adapter on `base_model_name`) before a judge."""

    def __init__(
        self,
        model_path: str | Path,
        base_model_name: str | Path | None = None,
        *,
        judge: GeminiModel | None = None,
        metrics: Sequence[str] = METRICS,
        max_new_tokens: int = 256,
    ) -> None:
        self.model_path, self.base_model_name = model_path, base_model_name
        self.judge = judge or GeminiModel()
        self.metrics = {name: read_judged(name) for name in metrics}
        self.max_new_tokens = max_new_tokens

    def evaluate_on_dataset(self, dataset_name: str | Path, test_size: int = 100) -> dict[str, Any]:
        """metric -> {"value", "low", "high", "n", "unscored": {kind: count}, "total"}, and the rows under "rows".

        dataset_name: a JSONL file or a folder's test.jsonl, in ShareGPT or OpenAI form, or a dataset of the Hub, of
        which the split `test` is read: training data are refused. test_size: conversations at most; the last answer of
        each is judged.
        """
        cases = list(held_out(dataset_name, test_size))
        asker = self.judge.open()
        answers = self._answers(cases)
        from parley.judging.verdicts import graded

        asked = [(case, name) for case in cases for name in self.metrics]
        questions = [
            partial(graded, case, answers[case.id].text, name, self.metrics[name], asker) for case, name in asked
        ]
        try:
            verdicts = answer(questions, asker, name="evaluate_on_dataset", sent=f"{len(cases)} test cases")
        finally:
            asker.close()
        found: dict[str, Any] = {}
        for name in self.metrics:
            own = [(case.group, v) for (case, metric), v in zip(asked, verdicts, strict=True) if metric == name]
            scored = [(group, v.score) for group, v in own if v.score is not None]
            unscored = Counter(v.kind for _, v in own if v.score is None)
            estimate = mean(scored, resamples=RESAMPLES, seed=42)
            found[name] = {**estimate, "unscored": dict(sorted(unscored.items())), "total": len(own)}
        rows = [
            {"id": case.id, "metric": name, "answer": answers[case.id].text, "score": v.score, "kind": v.kind}
            for (case, name), v in zip(asked, verdicts, strict=True)
        ]
        return {**found, "rows": rows}

    def _answers(self, cases: Sequence[Case]) -> "dict[str, Answer]":
        from parley.encoding.chat import template_of
        from parley.inference.generation import Sampling, answers_to, context_length, prompt_of
        from parley.library import load_finetuned_model

        tokenizer, model, _ = load_finetuned_model(self.model_path, self.base_model_name)
        template, context = template_of(tokenizer), context_length(model)
        prompts = [prompt_of(template, case, max_new_tokens=self.max_new_tokens, context=context) for case in cases]
        made = answers_to(model, template, prompts, sampling=Sampling(self.max_new_tokens), batch_size=16)
        return {case.id: one for case, one in zip(cases, made, strict=True)}


def held_out(dataset: str | Path, most: int) -> Iterator[Case]:
    """At most `most` cases, the last answer of each conversation; training data are refused by name."""
    place = Path(dataset)
    if place.is_dir():
        place = place / "test.jsonl"
    if place.stem.startswith("train") or place.stem == "val":
        raise ParleyError(
            f"{place} is a training or validation split: only held-out data are judged; name the test split"
        )
    if not place.is_file() and (place.suffix or str(dataset).startswith((".", "/"))):
        raise ParleyError(f"{place} is not there: name a JSONL file, a folder with test.jsonl, or a dataset of the Hub")
    with tempfile.TemporaryDirectory() as folder:
        if not place.is_file():
            place = _fetched(str(dataset), Path(folder))
        for conversation in _conversations(place):
            ends = [at for at, turn in enumerate(conversation.turns) if turn.role == "assistant"]
            if most > 0 and ends and ends[-1] > 0:
                most -= 1
                yield case_at(conversation, ends[-1], "test")


def _conversations(place: Path) -> Iterator[Conversation]:
    for format_ in (plugin("formats", name, key="") for name in ("sharegpt", "openai")):
        if format_.recognises(head_of(place), place.name):
            return (record for record in format_.read(place, place.name) if isinstance(record, Conversation))
    raise ParleyError(f"{place}: expected rows of `conversations` (ShareGPT) or `messages` (OpenAI)")


def _fetched(name: str, folder: Path) -> Path:
    """The split `test` of a dataset of the Hub, as a file."""
    from datasets import load_dataset

    try:
        rows = load_dataset(name, split="test")
    except (ValueError, OSError) as error:
        raise ParleyError(
            f"{name}: no split `test` could be read ({type(error).__name__}): only held-out data are judged"
        ) from None
    rows.to_json(folder / "test.jsonl", force_ascii=False)
    return folder / "test.jsonl"
