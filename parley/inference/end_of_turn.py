"""Has the user finished? A trained detector in use: the same text, template and tokens as in training and scoring.

    from parley.inference.end_of_turn import predict_eou
    predict_eou([{"role": "user", "content": "I would like to"}], "en")     # 0.02

reads models/detector, which `make export-detector` writes; `load` reads any other folder. Heavy imports sit inside.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from parley.conversation import Conversation, Turn
from parley.encoding.chat import Template, encode, template_of
from parley.encoding.control import neutralise
from parley.errors import ParleyError
from parley.modeling.models import load_tokenizer, set_threads
from parley.specialists.turn_text import TOKENS, turns_of, window

ONNX = "onnx/model.onnx"
ONNX_INT8 = "onnx/model_q8.onnx"
FOLDER = Path("models/detector")

Run = Callable[[Sequence[int]], float]  # token ids of an open turn -> probability that it ends


@dataclass(frozen=True, slots=True)
class Detector:
    """A model, its template, and the threshold of each language that it was measured on."""

    template: Template
    run: Run
    thresholds: dict[str, float]

    def predict_eou(self, messages: Iterable[dict[str, str]], language: str) -> float | None:
        """The probability that the user, who spoke last, has finished; None for a language without threshold."""
        if self.threshold(language) is None:
            return None
        ids = open_turn(self.template, turns_of(messages))
        return self.run(ids) if ids else None

    def has_ended(self, messages: Iterable[dict[str, str]], language: str) -> bool | None:
        """Whether the probability reaches the language's threshold; None where there is no probability."""
        found, threshold = self.predict_eou(messages, language), self.threshold(language)
        return None if found is None or threshold is None else found >= threshold

    def threshold(self, language: str) -> float | None:
        """That of "en-us", else of "en", whichever case "en-US" is written in; None for an unknown language."""
        code = language.lower()
        return self.thresholds.get(code, self.thresholds.get(code.partition("-")[0]))


def predict_eou(
    messages: Iterable[dict[str, str]], language: str, *, folder: Path = FOLDER, onnx: str = ""
) -> float | None:
    """Detector.predict_eou of the model in `folder`, which is loaded once."""
    return load(folder, onnx=onnx).predict_eou(messages, language)


def detect_turns(conversation_text: str, language: str = "en", *, folder: Path = FOLDER) -> bool | None:
    """Whether somebody who has said this, and nothing before it, has finished."""
    return load(folder).has_ended([{"role": "user", "content": conversation_text}], language)


@cache
def load(folder: Path = FOLDER, *, onnx: str = "") -> Detector:
    """The detector of a folder that `make export-detector` wrote; onnx: by that file of it instead of by torch."""
    if not (folder / "languages.json").is_file():
        raise ParleyError(f"{folder} holds no languages.json: write it with `make export-detector OUT={folder}`")
    template = template_of(load_tokenizer(folder))
    languages = json.loads((folder / "languages.json").read_bytes())
    thresholds = {name: float(one["threshold"]) for name, one in languages.items()}
    run = onnx_run(folder / onnx) if onnx else torch_run(folder, template.end_id)
    return Detector(template, run, thresholds)


def open_turn(template: Template, turns: Sequence[Turn]) -> list[int]:
    """The ids after which the end token is due if the user has finished; none where the user is not the last."""
    said = window(turns)
    if not said or said[-1].role != "user":
        return []
    whole, _ = neutralise(template.control, Conversation("now", said))
    (encoded,) = encode(template, [whole], speaker="user", last=True)
    stop = encoded.spans[-1][1] - 1
    return encoded.ids[max(0, stop - TOKENS) : stop]


def torch_run(folder: Path, end_id: int, *, threads: int = 1) -> Run:
    """The model of a folder on the CPU."""
    import torch
    from transformers import AutoModelForCausalLM

    set_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()

    def run(ids: Sequence[int]) -> float:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids]), use_cache=False, logits_to_keep=1).logits[0, -1]
        return float(logits.softmax(-1)[end_id])

    return run


def onnx_run(path: Path, *, threads: int = 1) -> Run:
    """An exported model under onnxruntime on the CPU, as LiveKit's plugin runs it: the last position's probability."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(ids: Sequence[int]) -> float:
        return float(session.run(None, {"input_ids": np.array([ids], np.int64)})[0].flatten()[-1])

    return run


_SHAREGPT = {"user": "human", "assistant": "gpt", "system": "system", "human": "human", "gpt": "gpt"}


def convert_to_sharegpt_format(conversations: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of role/content `conversations` as ShareGPT rows of from/value; what else a row has stays."""
    rows = []
    for number, row in enumerate(conversations):
        said = row.get("conversations", row.get("messages", ()))
        strange = sorted({str(one.get("role", one.get("from"))) for one in said} - _SHAREGPT.keys())
        if strange:
            raise ParleyError(f"conversation {number}: unknown role {strange[0]!r}: expected user, assistant or system")
        turns = [
            {"from": _SHAREGPT[one.get("role", one.get("from"))], "value": one.get("content", one.get("value"))}
            for one in said
        ]
        rest = {key: value for key, value in row.items() if key not in ("conversations", "messages")}
        rows.append({**rest, "conversations": turns})
    return rows
