"""generate: every test case answered by one model, greedily, and its log-probabilities of the reference.

in    data/eval/cases.jsonl; models/base (base) or models/merged (tuned)
out   data/eval/base.jsonl or data/eval/tuned.jsonl
by    params `generate`, `model`                        run   python -m stages.generate base|tuned

With generate.backend: openai_http a server answers, which has the models under the names base and tuned.

Any other model on the same cases, a folder (an adapter's too) or a Hub id:
python -m stages.generate --model PATH_OR_ID --out FILE
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from parley.encoding.chat import Template, template_of
from parley.errors import ParleyError
from parley.evaluation import Case, Generation, cases_of, generation_row
from parley.inference.generation import (
    NO_ANSWER,
    Answer,
    Prompt,
    Sampling,
    answers_to,
    context_length,
    probabilities,
    prompt_of,
    reference_logprobs,
)
from parley.inference.latency import percentiles
from parley.inference.serving import Server
from parley.jsonl import rows_into
from parley.modeling.hub import snapshot
from parley.modeling.loading import load
from parley.modeling.models import Model, load_tokenizer, quiet, set_threads
from parley.params import Section, read_section
from parley.progress import progress
from parley.stage import add_timing, run

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TIMED = 100  # calls of which the latency is told
FOLDERS = {"base": "models/base", "tuned": "models/merged"}


class Generate(Section):
    """Section `generate` of params.yaml."""

    max_new_tokens: int = Field(ge=1, le=4096)
    batch_size: int = Field(ge=1, le=256)
    backend: Literal["local", "openai_http"]
    endpoint: str = Field(pattern=r"^(https?://\S+)?$")


@dataclass(frozen=True, slots=True)
class Made:
    """What one model did with the cases, in their order."""

    prompts: Sequence[Prompt]
    answers: Sequence[Answer]
    logprobs: Sequence[tuple[float, ...]]  # of the references; () where they are not known


def main(root: Path, which: str) -> None:
    answer(root, root / FOLDERS[which], root / f"data/eval/{which}.jsonl", name=which)


def answer(root: Path, source: Path | str, out: Path, *, name: str = "") -> None:
    """Writes to `out` what the model at `source` (a folder, or a Hub id) does with root's test cases.

    name: under which a server has it; "" is `source`.
    """
    params = read_section(root, "generate", Generate)
    settings = read_section(root, "model", Model)
    set_threads(settings.threads)
    quiet()
    cases = list(cases_of(root / "data/eval/cases.jsonl"))
    if params.backend == "local":
        made = answer_here(root, source, cases, params, settings)
    else:
        made = answer_there(source, cases, params, name or str(source))
    with rows_into(out) as add:
        for case, found, nats in zip(cases, made.answers, made.logprobs, strict=True):
            asked = probabilities(case, nats) if nats else {}
            add(generation_row(Generation(case.id, found.text, found.finish, found.tokens, nats, asked)))
    print(
        f"generate: {source}: {len(cases)} cases, {sum(found.tokens for found in made.answers)} new tokens, "
        f"{sum(found.finish == 'length' for found in made.answers)} answers truncated, "
        f"{sum(prompt.cut for prompt in made.prompts)} prompts cut to fit, "
        f"{sum(prompt.control_tokens for prompt in made.prompts)} control tokens neutralised"
    )


def prompts_of(
    cases: Sequence[Case], template: Template, params: Generate, context: int, source: object
) -> list[Prompt]:
    """The cases' prompts; ParleyError where no prompt has room beside the answer."""
    if params.max_new_tokens >= context:
        raise ParleyError(
            f"params.yaml: generate.max_new_tokens: found {params.max_new_tokens}, but {source} sees only {context} "
            "tokens at once, prompt included: lower it"
        )
    return [prompt_of(template, case, max_new_tokens=params.max_new_tokens, context=context) for case in cases]


def answer_here(root: Path, source: Path | str, cases: Sequence[Case], params: Generate, settings: Model) -> Made:
    """By the model, in this process."""
    model, tokenizer = load(root, source, settings)
    template = template_of(tokenizer)
    prompts = prompts_of(cases, template, params, context_length(model), source)
    start = time.monotonic()
    with progress(f"generate: {source}, references", len(cases), "cases") as bar:
        logprobs = reference_logprobs(model, prompts, batch_size=params.batch_size, done=bar.advance)
    scored = time.monotonic()
    asking = [prompt for case, prompt in zip(cases, prompts, strict=True) if case.asks]
    sampling = Sampling(params.max_new_tokens)
    with progress(f"generate: {source}, answers", len(asking), "cases") as bar:
        written = answers_to(model, template, asking, sampling=sampling, batch_size=params.batch_size, done=bar.advance)
    seconds = time.monotonic() - scored
    given = iter(written)
    answers = [next(given) if case.asks else NO_ANSWER for case in cases]
    add_timing(
        new_tokens_per_second=round(sum(found.tokens for found in answers) / seconds, 1) if asking else 0.0,
        reference_tokens_per_second=round(sum(map(len, logprobs)) / (scored - start), 1) if answers else 0.0,
        device=str(model.device),
        precision=str(model.dtype).removeprefix("torch."),
    )
    open_turns = [prompt for case, prompt in zip(cases, prompts, strict=True) if not case.asks]
    if open_turns and model.device.type == "cpu":
        add_timing(**turn_latency(model, open_turns[:TIMED], settings.threads))
    return Made(prompts, answers, logprobs)


def answer_there(source: Path | str, cases: Sequence[Case], params: Generate, name: str) -> Made:
    """By a server; only the tokenizer is read here."""
    if not params.endpoint:
        raise ParleyError(
            'params.yaml: generate.endpoint: found "", but generate.backend is openai_http: name the address '
            "of the server, such as http://127.0.0.1:8000/v1"
        )
    server = Server(params.endpoint, name, concurrency=params.batch_size)
    context = server.context_length()
    folder = snapshot(source, "") if isinstance(source, str) else source
    template = template_of(load_tokenizer(folder))
    prompts = prompts_of(cases, template, params, context, source)
    start = time.monotonic()
    with progress(f"generate: {source}", len(cases), "cases") as bar:
        stops = [template.end_id]
        answers, logprobs = server.answers(
            cases, prompts, max_new_tokens=params.max_new_tokens, stops=stops, done=bar.advance
        )
    seconds = time.monotonic() - start
    add_timing(new_tokens_per_second=round(sum(found.tokens for found in answers) / seconds, 1), device=params.endpoint)
    if server.chat:
        print(f"generate: {params.endpoint} has chat completions only: its own template was applied")
    if cases and not all(logprobs):
        print(f"generate: {params.endpoint} gives no log-probabilities of a prompt: perplexity is not scored")
    return Made(prompts, answers, logprobs)


def turn_latency(model: "PreTrainedModel", prompts: Sequence[Prompt], threads: int) -> dict[str, float]:
    """Milliseconds to tell whether one turn has ended, on 1 and 2 threads of the CPU; `threads` are set again."""
    import torch

    def ends(prompt: Prompt) -> None:
        with torch.no_grad():
            ids = torch.tensor([prompt.ids + prompt.reference[:-1]])
            model(input_ids=ids, use_cache=False, logits_to_keep=1)

    found: dict[str, float] = {}
    for count in (1, 2):
        set_threads(count)
        middle, late = percentiles(ends, prompts)
        found |= {f"turn_p50_ms_{count}_threads": middle, f"turn_p95_ms_{count}_threads": late}
    set_threads(threads)
    return found


def arguments() -> argparse.Namespace:
    """The command line: one of the pipeline's models, or any other and where its answers go."""
    parser = argparse.ArgumentParser(prog="python -m stages.generate", description="Answers every test case.")
    parser.add_argument("which", nargs="?", choices=sorted(FOLDERS), help="the pipeline's own model")
    parser.add_argument("--model", help="another: a model folder, an adapter's folder, or a Hub id")
    parser.add_argument("--out", type=Path, help="JSONL file for the other model's answers")
    found = parser.parse_args()
    if (found.which is None) == (found.model is None) or (found.model is None) != (found.out is None):
        parser.error("name base or tuned, or give both --model and --out")
    return found


if __name__ == "__main__":
    given = arguments()
    if given.which:
        run("generate", lambda root: main(root, given.which))
    else:
        other = Path(given.model) if Path(given.model).is_dir() else given.model
        run("generate", lambda root: answer(root, other, given.out))
