"""merge: base + adapter → one model that loads without parley; its logits compared with base + adapter.

in    data/encoded/val.parquet, models/base, models/trained, metrics/train.json
out   models/merged, metrics/merge.json
by    params `model`, `merge`                                 run   python -m stages.merge

A fully trained model is taken as it is, byte for byte. An adapter of QLoRA is folded into its base as the 4 bits say
it, on which it was trained. With `merge.save: false` models/merged holds the adapter alone, and generate loads both.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from parley.encoding.examples import Example, facts_of, read_examples
from parley.errors import ParleyError
from parley.files import link_tree, publish, read_json, sha256_file, write_json
from parley.modeling.models import (
    Model,
    add_stop,
    load_base,
    load_model,
    load_tokenizer,
    pick_device,
    quiet,
    read_base,
    room_on,
    set_threads,
    weight_sums,
)
from parley.params import Section, read_section
from parley.progress import tracked
from parley.stage import run
from parley.training.card import FILE, card, licence_of
from parley.training.folding import SHARD, base_folder, dtype_of, fold

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_COMPARED = 8  # validation examples
_POSITIONS = 64  # of each, the last: logits of 8 x 64 positions stay below 400 MB at 150,000 tokens
_LEFT = ["training_info.json", "epochs"]


class Merge(Section):
    """Section `merge`."""

    save: bool
    dtype: Literal["auto", "bf16", "fp16", "fp32"]
    max_logit_difference: float = Field(gt=0)


def main(root: Path) -> None:
    model_params = read_section(root, "model", Model)
    params = read_section(root, "merge", Merge)
    set_threads(model_params.threads)
    quiet()

    trained = root / "models/trained"
    info = read_json(trained / "training_info.json")
    base = root / "models/base"
    with publish(root / "models/merged") as made:
        if not (trained / "adapter_config.json").exists():
            figures = _take(trained, made)
        elif params.save:
            _check_base(root, info)
            figures = _fold(root, model_params, params, info, made)
        else:
            _check_base(root, info)
            link_tree(trained, made, leave=_LEFT)
            figures = _figures("adapter", "as loaded", [])
        if end := facts_of(root / "data/encoded/val.parquet").get("end_id"):
            add_stop(made, int(end))
        write_json(made / "training_info.json", {**info, "merge": figures})
        licence = licence_of(read_base(base), base_folder(base))
        text = card(info, read_json(root / "metrics/train.json"), figures, licence)
        (made / FILE).write_text(text, encoding="utf-8")
        if figures["max_difference"] > params.max_logit_difference:
            raise ParleyError(
                f"merged model and base + adapter differ by {figures['max_difference']:.3g} in a logit, above "
                f"merge.max_logit_difference {params.max_logit_difference:g}: nothing is published. "
                "16-bit weights round more than 32-bit ones (merge.dtype); a large adapter needs a higher bound"
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
    link_tree(trained, made, leave=_LEFT)
    same = weight_sums(made) == weight_sums(trained)
    if not same:
        raise ParleyError(f"{made.name} is no exact copy of {trained}: the disk may be failing")
    return {**_figures("full", "as trained", []), "same_bytes": same}


def _figures(mode: str, dtype: str, differences: Sequence["torch.Tensor"]) -> dict[str, Any]:
    count = sum(part.numel() for part in differences)
    return {
        "mode": mode,
        "dtype": dtype,
        "examples": len(differences),
        "max_difference": max((float(part.max()) for part in differences), default=0.0),
        "mean_difference": sum(float(part.sum()) for part in differences) / max(count, 1),
        "same_bytes": False,
    }


def _fold(root: Path, model_params: Model, params: Merge, info: dict[str, Any], made: Path) -> dict[str, Any]:
    """The merged model in `made`, loaded again from there to compare; one model in memory at a time."""
    import torch
    from peft import PeftModel

    val = list(islice(read_examples(root / "data/encoded/val.parquet"), _COMPARED))
    quantization = info["params"]["train"]["quantization"]
    wanted = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}.get(params.dtype)
    made.mkdir()

    def tuned(*, plain: bool) -> "PreTrainedModel":
        model = load_base(root / "models/base", model_params, dtype=exact, quantization=quantization)
        model = model.dequantize() if plain and quantization == "nf4" else model
        return PeftModel.from_pretrained(model, root / "models/trained").eval()

    exact = torch.float32
    if _size(root) * 1.2 > room_on(pick_device().type):
        exact = torch.bfloat16  # then the comparison has the rounding of bf16 in it, twice
    expected = _logits(tuned(plain=False), val)
    source = base_folder(root / "models/base")
    if not fold(source, root / "models/trained", made, dtype=wanted, quantized=quantization == "nf4"):
        model = tuned(plain=True).merge_and_unload()
        model.to(wanted or getattr(torch, dtype_of(source))).save_pretrained(made, max_shard_size=SHARD)
        del model
    load_tokenizer(root / "models/trained").save_pretrained(made)
    found = _logits(load_model(made, model_params, dtype=exact).eval(), val)
    return _figures("lora", dtype_of(made), [(a - b).abs() for a, b in zip(expected, found, strict=True)])


def _size(root: Path) -> int:
    """Bytes of the base's weights in 32 bits, at most."""
    return 2 * sum(file.stat().st_size for file in base_folder(root / "models/base").glob("*.safetensors"))


def _logits(model: "PreTrainedModel", val: list[Example]) -> Sequence["torch.Tensor"]:
    """The logits of the last positions of some validation examples, on the CPU."""
    import torch

    with torch.no_grad():
        return [
            model(input_ids=torch.tensor([example.input_ids], device=model.device)).logits[0, -_POSITIONS:].cpu()
            for example in tracked(val, "merge: comparing", len(val), "examples")
        ]


if __name__ == "__main__":
    run("merge", main)
