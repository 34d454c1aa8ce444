"""What the chat tools share: which model is talked with, how it answers, and a conversation kept as a file."""

import argparse
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import parley
from parley.conversation import Conversation, Turn, to_sharegpt
from parley.encoding.chat import Template, template_of
from parley.errors import ParleyError
from parley.files import write_json
from parley.inference.generation import Sampling
from parley.inference.talking import stream
from parley.jsonl import rows_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BASE = Path("models/base")
CHATS = Path("data/chats")


@dataclass(frozen=True, slots=True)
class Voice:
    """A model that is talked with."""

    name: str
    model: "PreTrainedModel"
    template: Template

    def answer(self, turns: Sequence[Turn], system: str, sampling: Sampling) -> Generator[str, None, None]:
        """What it says to the last of `turns`, piece by piece; closing the iterator stops it."""
        return stream(self.model, self.template, Conversation("chat", tuple(turns), system=system), sampling)


def parser(prog: str, description: str) -> argparse.ArgumentParser:
    """The options of every chat tool."""
    made = argparse.ArgumentParser(prog=prog, description=description)
    made.add_argument("--model-path", default="models/merged", help="folder of a model or adapter, or a Hub id")
    made.add_argument("--base-model", help="base of an adapter, and what is shown beside; else the adapter's own")
    made.add_argument(
        "--4bit", dest="in_4bit", action=argparse.BooleanOptionalAction, default=False, help="weights in 4 bits (NF4)"
    )
    made.add_argument("--max-new-tokens", type=int, default=256, help="longest answer, in tokens (256)")
    made.add_argument("--temperature", type=float, default=0.7, help="0 always takes the likeliest token (0.7)")
    made.add_argument("--top-p", type=float, default=0.95, help="share of the likeliest tokens drawn from (0.95)")
    made.add_argument("--repetition-penalty", type=float, default=1.0, help="above 1 against repetition (1.0)")
    made.add_argument("--system", help="system prompt; else that of the training data, or the chat template's own")
    return made


def sampling_of(given: argparse.Namespace) -> Sampling:
    return Sampling(given.max_new_tokens, given.temperature, given.top_p, given.repetition_penalty)


def tuned(given: argparse.Namespace) -> Voice:
    """The model that the options name."""
    if given.model_path == "models/merged" and not Path(given.model_path).is_dir():
        raise ParleyError("models/merged is not there: `make repro` makes it, or name another with --model-path")
    return _voice(given.model_path, given.base_model, given)


def base(given: argparse.Namespace) -> Voice:
    """What stands beside the model: --base-model, else models/base."""
    if given.base_model is None and not BASE.is_dir():
        raise ParleyError("there is no models/base here to show beside: name one with --base-model")
    return _voice(given.base_model or BASE, None, given, "base: ")


def _voice(source: str | Path, below: str | None, given: argparse.Namespace, label: str = "") -> Voice:
    tokenizer, model, _ = parley.load_finetuned_model(source, below, load_in_4bit=given.in_4bit)
    return Voice(f"{label}{source}", model, template_of(tokenizer))


def system_of(given: argparse.Namespace) -> str:
    """The system prompt: the one that was asked for, else, of the pipeline's own model, that of its first example."""
    if given.system is not None:
        return given.system
    examples = Path("data/splits/train.jsonl")
    if not given.model_path.startswith("models/") or not examples.is_file():
        return ""
    return next((row.get("system", "") for _, row in rows_of(examples)), "")


def save(talks: Sequence[tuple[str, Sequence[Turn]]], system: str, path: Path | None = None) -> list[Path]:
    """Keeps the conversation with the model, and that with its base if there is one, as ShareGPT rows; where.

    talks: (the model's name, turns) of each, the model first. The rows are such as `ingest.input` takes.
    """
    path = path or CHATS / time.strftime("%Y-%m-%d-%H%M%S.json")
    places = [path, path.with_name(f"{path.stem}-base{path.suffix}")]
    kept = [(place, name, turns) for place, (name, turns) in zip(places, talks, strict=False) if turns]
    for place, name, turns in kept:
        row = to_sharegpt(Conversation(place.stem, tuple(turns), system=system))
        write_json(place, {**row, "model": name})
    return [place for place, *_ in kept]
