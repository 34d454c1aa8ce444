"""merge: base + adapter → one model that loads without parley; its logits compared with base + adapter.

in    data/encoded/val.parquet, models/base, models/trained   out   models/merged, metrics/merge.json
by    params `model`, `merge`                                 run   python -m stages.merge

A fully trained model is taken as it is, byte for byte. A 4-bit base is loaded unquantised to fold into.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from parley.errors import ParleyError
from parley.examples import Example, facts_of, read_examples
from parley.files import link_tree, publish, read_json, sha256_file, write_json
from parley.models import (
    Model,
    add_stop,
    load_base,
    load_model,
    load_tokenizer,
    quiet,
    read_base,
    set_threads,
    weight_sums,
)
from parley.params import Section, read_section
from parley.stage import run

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_COMPARED = 8  # validation examples
_POSITIONS = 64  # of each, the last: logits of 8 x 64 positions stay below 400 MB at 150,000 tokens


class Merge(Section):
    """Section `merge`."""

    max_logit_difference: float = Field(gt=0)


def main(root: Path) -> None:
    model_params = read_section(root, "model", Model)
    params = read_section(root, "merge", Merge)
    set_threads(model_params.threads)
    quiet()

    trained = root / "models/trained"
    info = read_json(trained / "training_info.json")
    with publish(root / "models/merged") as made:
        if (trained / "adapter_config.json").exists():
            _check_base(root, info)
            val = list(islice(read_examples(root / "data/encoded/val.parquet"), _COMPARED))
            figures = _fold(root, model_params, val, made)
        else:
            figures = _take(trained, made)
        if end := facts_of(root / "data/encoded/val.parquet").get("end_id"):
            add_stop(made, int(end))
        if figures["max_difference"] > params.max_logit_difference:
            raise ParleyError(
                f"merged model and base + adapter differ by {figures['max_difference']:.3g} in a logit, above "
                f"merge.max_logit_difference {params.max_logit_difference:g}: nothing is published. "
                "A large adapter in a large model may need a higher bound"
            )
    write_json(root / "metrics/merge.json", figures)


def _check_base(root: Path, info: dict[str, Any]) -> None:
    """Refuses an adapter that was trained on another base than models/base."""
    name = read_base(root / "models/base").name
    if info["base"]["sha256"] != sha256_file(root / "models/base/base.json"):
        raise ParleyError(
            f"models/trained is an adapter for {info['model_name']} (revision {info['base']['revision'] or 'none'}), "
            f"models/base is another {name}: run `dvc repro train`"
        )


def _take(trained: Path, made: Path) -> dict[str, Any]:
    """A full model: linked, or copied where the file system has no links."""
    link_tree(trained, made, leave=["training_info.json", "epochs"])
    same = weight_sums(made) == weight_sums(trained)
    if not same:
        raise ParleyError(f"{made.name} is no exact copy of {trained}: the disk may be failing")
    return {"mode": "full", "examples": 0, "max_difference": 0.0, "mean_difference": 0.0, "same_bytes": same}


def _fold(root: Path, model_params: Model, val: list[Example], made: Path) -> dict[str, Any]:
    """The merged model in `made`, loaded again from there to compare; one model in memory at a time."""
    import torch
    from peft import PeftModel

    model = load_base(root / "models/base", model_params, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, root / "models/trained").eval()
    expected = _logits(model, val)
    model = model.merge_and_unload()
    model.save_pretrained(made)
    load_tokenizer(root / "models/trained").save_pretrained(made)
    del model
    found = _logits(load_model(made, model_params, dtype=torch.float32).eval(), val)
    differences = [(a - b).abs() for a, b in zip(expected, found, strict=True)]
    count = sum(part.numel() for part in differences)
    return {
        "mode": "lora",
        "examples": len(differences),
        "max_difference": max((float(part.max()) for part in differences), default=0.0),
        "mean_difference": sum(float(part.sum()) for part in differences) / max(count, 1),
        "same_bytes": False,
    }


def _logits(model: "PreTrainedModel", val: list[Example]) -> Sequence["torch.Tensor"]:
    """The logits of the last positions of some validation examples, on the CPU."""
    import torch

    with torch.no_grad():
        return [
            model(input_ids=torch.tensor([example.input_ids], device=model.device)).logits[0, -_POSITIONS:].cpu()
            for example in val
        ]


if __name__ == "__main__":
    run("merge", main)
