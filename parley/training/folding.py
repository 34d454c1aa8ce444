"""An adapter folded into its base, shard by shard: at no time is the whole model in memory.

peft does the sums, one layer at a time, on a model without weights; what no adapter touches goes
through as it is. Heavy imports sit inside functions.
"""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from parley.modeling.models import read_base
from parley.progress import progress

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

SHARD = 10**9  # bytes of a file of weights, unless one tensor is larger
_INDEX = "model.safetensors.index.json"


def base_folder(made: Path) -> Path:
    """Where the weights and the config of the base in models/base are; a Hub model's are in its cache by now."""
    base = read_base(made)
    if base.kind == "hub":
        from huggingface_hub import snapshot_download

        patterns = ["*.safetensors", "*.json"]
        found = snapshot_download(base.source, revision=base.revision, allow_patterns=patterns, local_files_only=True)
        return Path(found)
    return Path(base.source) if base.source else made


def weight_files(folder: Path) -> list[Path]:
    """The files of a model's weights: one, or those that its index names."""
    index = folder / _INDEX
    if index.is_file():
        return [folder / name for name in sorted(set(json.loads(index.read_bytes())["weight_map"].values()))]
    return [folder / "model.safetensors"]


def dtype_of(folder: Path) -> str:
    """torch's name for the numbers that most bytes of a model's first file are in."""
    from safetensors import safe_open

    with safe_open(weight_files(folder)[0], "pt") as opened:
        slices = [opened.get_slice(name) for name in opened.keys()]  # noqa: SIM118
        largest = max(slices, key=lambda part: math.prod(part.get_shape()))
    return {"BF16": "bfloat16", "F16": "float16"}.get(largest.get_dtype(), "float32")


def fold(source: Path, adapter: Path, made: Path, *, dtype: "torch.dtype | None", quantized: bool) -> bool:
    """Writes base + adapter into `made` as shards, with the base's config; False, and nothing, if it can't so.

    It can't where the adapter has more than layers of its own (trained token rows, saved modules, biases), or where
    the weights' names in the files are not those of the model. dtype: None keeps each weight's own.
    quantized: the adapter was trained on the base in 4 bits, and is folded into what those 4 bits say.
    """
    import torch

    layers = _adapter_layers(source, adapter)
    files = weight_files(source)
    if layers is None or not layers.keys() <= _names(files):
        return False
    narrow = _linear_names(source) if quantized else set()
    writer = _Shards(made)
    with progress("merge", sum(file.stat().st_size for file in files) / 1e6, "MB") as bar:
        for name, weight in _tensors(files):
            bar.advance(weight.nbytes / 1e6)
            kept = weight.dtype if dtype is None or not weight.is_floating_point() else dtype
            if name in narrow:
                weight = _through_4_bits(weight.float())
            if layer := layers.get(name):
                inner = layer.get_base_layer()
                inner.weight = torch.nn.Parameter(weight.float(), requires_grad=False)
                layer.merge()
                weight = inner.weight.data
                inner.weight = torch.nn.Parameter(torch.zeros(1).expand(weight.shape), requires_grad=False)
            writer.add(name, weight.to(kept).contiguous())
    writer.close()
    for name in ("config.json", "generation_config.json"):
        if (source / name).is_file():
            shutil.copyfile(source / name, made / name)
    if dtype is not None:
        config = json.loads((made / "config.json").read_bytes())
        config.pop("torch_dtype", None)
        config["dtype"] = str(dtype).removeprefix("torch.")
        (made / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return True


def _adapter_layers(source: Path, adapter: Path) -> "dict[str, torch.nn.Module] | None":
    """Name of a weight -> the layer with its adapter; None if there is more to the adapter than these."""
    import torch
    from peft import PeftConfig, PeftModel
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import AuxiliaryTrainingWrapper

    if PeftConfig.from_pretrained(adapter).trainable_token_indices:  # rows that the base in its files may not have yet
        return None
    model = _without_weights(source)
    for part in model.modules():  # peft puts an adapter where its layer is: on the CPU, in 32 bits, for no memory
        for name, weight in part.named_parameters(recurse=False):
            empty = torch.zeros(1).expand(weight.shape)
            setattr(part, name, torch.nn.Parameter(empty, requires_grad=False))
    ends = {model.get_input_embeddings(), model.get_output_embeddings()}
    try:
        tuned = PeftModel.from_pretrained(model, adapter, low_cpu_mem_usage=True, torch_device="cpu")
    except RuntimeError:  # shapes that a resized base has
        return None
    modules = dict(tuned.get_base_model().named_modules())
    found = {f"{name}.weight": part for name, part in modules.items() if isinstance(part, BaseTunerLayer)}
    more = any(isinstance(part, AuxiliaryTrainingWrapper) for part in modules.values())
    more |= tuned.peft_config["default"].bias != "none" or any(part.get_base_layer() in ends for part in found.values())
    return None if more else found


def _without_weights(source: Path) -> "PreTrainedModel":
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(source, local_files_only=True))


def _linear_names(source: Path) -> set[str]:
    """Names of the weights that bitsandbytes quantises: those of every linear layer but the output's."""
    import torch

    model = _without_weights(source)
    head = model.get_output_embeddings()
    return {
        f"{name}.weight"
        for name, part in model.named_modules()
        if isinstance(part, torch.nn.Linear) and part is not head
    }


def _through_4_bits(weight: "torch.Tensor") -> "torch.Tensor":
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    codes, state = quantize_4bit(weight, blocksize=64, compress_statistics=True, quant_type="nf4")
    return dequantize_4bit(codes, state)


def _names(files: list[Path]) -> set[str]:
    from safetensors import safe_open

    found: set[str] = set()
    for file in files:
        with safe_open(file, "pt") as opened:
            found.update(opened.keys())
    return found


def _tensors(files: list[Path]) -> "Iterator[tuple[str, torch.Tensor]]":
    """Every weight in the files' order. Each through a map of its own, so that its pages go when it goes."""
    from safetensors import safe_open

    for file in files:
        for name in sorted(_names([file])):
            with safe_open(file, "pt") as opened:
                yield name, opened.get_tensor(name)


class _Shards:
    """Weights to files of at most SHARD bytes, and the index that says which is where."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.waiting: dict[str, torch.Tensor] = {}
        self.size = 0
        self.written: list[list[str]] = []  # names of each file
        self.total = 0

    def add(self, name: str, weight: "torch.Tensor") -> None:
        if self.waiting and self.size + weight.nbytes > SHARD:
            self._flush()
        self.waiting[name] = weight
        self.size += weight.nbytes

    def _flush(self) -> None:
        from safetensors.torch import save_file

        save_file(self.waiting, self._part(len(self.written)), {"format": "pt"})
        self.written.append(list(self.waiting))
        self.total += self.size
        self.waiting, self.size = {}, 0

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number}"

    def close(self) -> None:
        self._flush()
        count, places = len(self.written), {}
        for number, names in enumerate(self.written):
            name = f"model-{number + 1:05}-of-{count:05}.safetensors" if count > 1 else "model.safetensors"
            self._part(number).rename(self.folder / name)
            places.update(dict.fromkeys(names, name))
        if count > 1:
            index = {"metadata": {"total_size": self.total}, "weight_map": dict(sorted(places.items()))}
            (self.folder / _INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
