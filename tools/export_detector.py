"""make export-detector OUT=folder: the trained turn detector as LiveKit's plugin and `predict_eou` read it.

model.safetensors, tokenizer.json ...   models/merged
languages.json                          {"en": {"threshold": 0.31}}: those of metrics/scores.json, chosen on val
onnx/model.onnx, onnx/model_q8.onnx     input_ids (1, n) -> the probability of the end token at each position; fp32,
                                        and weights in 8 bits
detector.json                           what the two lose against torch on the test cases, and their latency
"""

import json
import logging
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from parley.encoding.chat import template_of
from parley.errors import ParleyError
from parley.evaluation import cases_of
from parley.files import publish, read_json, write_json
from parley.inference.end_of_turn import ONNX, ONNX_INT8, onnx_run, open_turn, torch_run
from parley.inference.latency import percentiles
from parley.modeling.models import load_tokenizer, quiet
from parley.scoring.detection import roc_auc
from tools import told

REPORT = "detector.json"
MOST = 400  # test cases, evenly spaced: a large model takes a second for each
TIMED = 50


def export(root: Path, out: Path) -> dict[str, Any]:
    """Writes the folder; what stands in its detector.json."""
    if out.exists() and not (out / REPORT).is_file():
        raise ParleyError(f"OUT={out} is there and no exported detector: name a folder of its own")
    scores = read_json(root / "metrics/scores.json")["recipe"]
    found = scores.get("val", {}).get("threshold")
    if not found:
        raise ParleyError(
            "metrics/scores.json has no thresholds: train a detector first, `make recipe NAME=turn_detector` and "
            "`make repro`; if that was done, its val split has turns of one kind only"
        )
    thresholds = {language: {"threshold": entry["tuned"]["value"]} for language, entry in found.items()}
    thresholds.pop("all")
    with publish(out) as made:
        shutil.copytree(root / "models/merged", made)
        (made / "languages.json").write_text(json.dumps(thresholds, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        template = template_of(load_tokenizer(made))
        to_onnx(made, template.end_id)
        inputs = []
        for case in cases_of(root / "data/eval/cases.jsonl"):
            if case.split == "test" and case.labels.get("text") == "plain":
                ids = open_turn(template, [*case.context.turns, case.reference])
                inputs.append((ids, case.labels["end_of_turn"] == "yes"))
        measured = measure(made, template.end_id, inputs[:: max(1, -(-len(inputs) // MOST))])
        write_json(made / REPORT, measured)
    return measured


def to_onnx(folder: Path, end_id: int) -> None:
    """The model of `folder` as ONNX, fp32 and with weights in 8 bits, in its folder onnx."""
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from transformers import AutoModelForCausalLM

    quiet()
    logging.disable(logging.WARNING)  # of kernels that are not there and not needed
    warnings.simplefilter("ignore")
    model = AutoModelForCausalLM.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32, attn_implementation="eager"
    ).eval()

    class EndOfTurn(torch.nn.Module):
        """input_ids (batch, n) -> probability of the end token after each of them (batch, n)."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            return self.model(input_ids=input_ids, use_cache=False).logits.softmax(-1)[..., end_id]

    (folder / "onnx").mkdir()
    with torch.no_grad():
        program = torch.onnx.export(
            EndOfTurn().eval(),
            (torch.arange(16)[None],),
            dynamo=True,
            verbose=False,
            input_names=["input_ids"],
            output_names=["probability"],
            dynamic_shapes={"input_ids": {0: "batch", 1: "positions"}},
        )
    assert program is not None
    program.save(folder / ONNX)
    # The embedding stays as it is: rounding it costs most and saves no time. Each output channel has its own scale.
    quantize_dynamic(
        folder / ONNX,
        folder / ONNX_INT8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["MatMul", "Gemm"],
    )


def measure(folder: Path, end_id: int, inputs: list[tuple[list[int], bool]]) -> dict[str, Any]:
    """AUC, difference from torch and latency of each form of the model; AUC is null where only one kind is tested."""
    ended = np.array([truth for _, truth in inputs], bool)
    forms: dict[str, Callable[[int], Any]] = {
        "torch": lambda threads: torch_run(folder, end_id, threads=threads),
        "onnx": lambda threads: onnx_run(folder / ONNX, threads=threads),
        "onnx_int8": lambda threads: onnx_run(folder / ONNX_INT8, threads=threads),
    }
    found: dict[str, Any] = {"cases": len(inputs)}
    given: dict[str, np.ndarray] = {}
    for name, start in forms.items():
        run = start(1)
        given[name] = np.array([run(ids) for ids, _ in inputs])
        gap = np.abs(given[name] - given["torch"])
        both = bool(ended.any() and not ended.all())
        found[name] = {
            "roc_auc": float(roc_auc(given[name], ended, np.ones((1, len(ended))))[0]) if both else None,
            "largest_difference": float(gap.max(initial=0)),
            "mean_difference": float(gap.mean()) if len(gap) else 0.0,
        }
        for threads in (1, 2):
            middle, late = percentiles(start(threads), [ids for ids, _ in inputs[:TIMED]]) if inputs else (0.0, 0.0)
            found[name] |= {f"p50_ms_{threads}_threads": middle, f"p95_ms_{threads}_threads": late}
    return found


def main() -> None:
    (out,) = sys.argv[1:]
    with told("export-detector", folder="OUT"):
        if not out:
            raise ParleyError("OUT= is missing: make export-detector OUT=models/detector")
        found = export(Path(), Path(out))
    print(f"export-detector: {out}: measured on {found['cases']} test turns")
    for name in ("torch", "onnx", "onnx_int8"):
        one = found[name]
        auc = "-" if one["roc_auc"] is None else f"{one['roc_auc']:.4f}"
        print(
            f"  {name:10}ROC-AUC {auc}, from torch {one['largest_difference']:.4f} at most, "
            f"{one['p50_ms_1_threads']} ms (p95 {one['p95_ms_1_threads']}) on 1 thread"
        )


if __name__ == "__main__":
    main()
