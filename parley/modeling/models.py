"""Models on disk and in memory: the base that models/base names, an adapter, a merged or full model.

models/base always holds the tokenizer with its chat template, and base.json, which says where the
weights are: {"schema": 1, "name": "parley-tiny", "kind": "embedded", "source": "", "revision": "",
"template": "chatml", "weights": {"model.safetensors": "<sha256>"}}. Heavy imports sit inside functions.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from parley.errors import ParleyError
from parley.files import read_json, sha256_file, write_json
from parley.params import Section

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


Thinking = Literal[
    "keep",  # thoughts stay in every turn of the assistant
    "last",  # the model's own way: thoughts leave every exchange but the last
    "off",  # the model is told not to think, and opens each answer with an empty thought
]


class Model(Section):
    """Section `model`: the one section that several stages read."""

    name: str = Field(min_length=1)
    revision: str
    trust_remote_code: bool
    template: str
    thinking: Thinking
    add_tokens: bool
    threads: int = Field(ge=1, le=1024)


def plain(name: str) -> Model:
    """The settings of a model that is taken as it is, with its own template and tokens and none of its code."""
    return Model(
        name=name,
        revision="",
        trust_remote_code=False,
        template="auto",
        thinking="keep",
        add_tokens=False,
        threads=1,
    )


@dataclass(frozen=True, slots=True)
class Base:
    """What models/base/base.json says of the base model."""

    name: str  # model.name of params.yaml: what an adapter's base_model_name_or_path becomes
    kind: Literal["embedded", "local", "hub"]
    source: str  # where the weights are: "" beside base.json, else an absolute folder or a Hub id
    revision: str  # full commit of a Hub model, else ""
    template: str  # "own", "trl:<family>" or a name from parley/templates
    weights: dict[str, str]  # weight file -> sha256; empty for a Hub model, whose commit pins it
    added: dict[str, list[int]] = field(default_factory=dict)  # token added for the template -> the ids of its pieces


def write_base(folder: Path, base: Base) -> None:
    """Writes base.json into `folder`."""
    write_json(folder / "base.json", asdict(base))


def read_base(folder: Path) -> Base:
    """What base.json in `folder` says."""
    found = read_json(folder / "base.json")
    found.pop("schema")
    return Base(**found)


def weight_sums(folder: Path) -> dict[str, str]:
    """Weight file -> sha256 for a model folder; pickled weights without safetensors are refused."""
    sums = {path.name: sha256_file(path) for path in sorted(folder.glob("*.safetensors"))}
    pickled = [path.name for kind in ("*.bin", "*.pt", "*.pth", "*.pkl") for path in sorted(folder.glob(kind))]
    if not sums and pickled:
        raise ParleyError(
            f"{folder} holds pickled weights ({pickled[0]}), which can run code when loaded: "
            "convert them to safetensors, or name another base in model.name"
        )
    return sums


def set_threads(count: int) -> None:
    """Pins torch's CPU threads: another count is another result in the last bits."""
    import torch

    os.environ["OMP_NUM_THREADS"] = str(count)
    torch.set_num_threads(count)


def quiet() -> None:
    """Turns off the bars and notes of transformers and bitsandbytes; their errors stay."""
    import logging

    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def pick_device() -> "torch.device":
    """cuda when there is one, else cpu."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def room_on(device: str) -> int:
    """Bytes of the whole device: the GPU's, or the machine's within the limit of its container."""
    import torch

    if device == "cuda":
        return torch.cuda.mem_get_info()[1]
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        if Path(file).is_file() and (limit := Path(file).read_text().strip()).isdigit():
            total = min(total, int(limit))
    return total


def _must_be_there(source: Path | str) -> None:
    # transformers takes the name of a missing folder for a Hub id, and asks the network.
    if isinstance(source, Path) and not source.is_dir():
        raise ParleyError(f"{source} is not there: run `dvc repro`, which makes it")


def computes_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware: 1.7 times as fast as float32, else slower."""
    import torch

    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a local model folder, with its chat template."""
    from transformers import AutoTokenizer

    _must_be_there(folder)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_base(folder: Path, params: Model, *, dtype: "torch.dtype", quantization: str = "none") -> "PreTrainedModel":
    """The base model's weights on the device, wherever base.json in `folder` says they are.

    quantization: "none", or "nf4" for a frozen 4-bit base (bitsandbytes, double quantisation).
    Raises ParleyError if a local model's files changed since models/base was made.
    """
    base = read_base(folder)
    if base.kind == "hub":
        model = load_model(base.source, params, revision=base.revision, dtype=dtype, quantization=quantization)
        return _with_rows(model, folder, base)
    source = Path(base.source) if base.source else folder
    if weight_sums(source) != base.weights:
        raise ParleyError(
            f"the weights in {source} are not those that models/base was made from: run `dvc repro -f base`"
        )
    return _with_rows(load_model(source, params, dtype=dtype, quantization=quantization), folder, base)


def add_stop(folder: Path, token: int) -> None:
    """Makes a model folder's generation config stop at a token too: what the model has learned to end with."""
    path = folder / "generation_config.json"
    settings = json.loads(path.read_bytes()) if path.is_file() else {}
    own = settings.get("eos_token_id")
    before = set(own if isinstance(own, list) else [own]) - {None}
    stops = before | {token}
    if stops != before:
        settings["eos_token_id"] = sorted(stops)
        path.unlink(missing_ok=True)  # it may be a link to another folder's
        path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def added_ids(folder: Path) -> list[int]:
    """Ids of the tokens that were added for the template in models/base."""
    added = read_base(folder).added
    return load_tokenizer(folder).convert_tokens_to_ids(list(added)) if added else []


def new_rows(model: "PreTrainedModel", folder: Path) -> dict[str, list[int]] | None:
    """The rows of the added tokens by the layer that has them, as peft.LoraConfig takes them; None if there are none.

    A tied output layer goes with the input's.
    """
    ids = added_ids(folder)
    inner, outer = model.get_input_embeddings(), model.get_output_embeddings()
    layers = [inner] if outer.weight is inner.weight else [inner, outer]
    names = [name.rpartition(".")[2] for name, module in model.named_modules() if any(module is x for x in layers)]
    return dict.fromkeys(names, ids) if ids else None


def _with_rows(model: "PreTrainedModel", folder: Path, base: Base) -> "PreTrainedModel":
    """The model with a row for each added token, in and out: the mean of the rows of its pieces."""
    import torch

    if not base.added:
        return model
    ids = added_ids(folder)
    if max(ids) >= model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(max(ids) + 1, mean_resizing=False)
    with torch.no_grad():
        for weight in {model.get_input_embeddings().weight, model.get_output_embeddings().weight}:  # one where tied
            for token, pieces in zip(ids, base.added.values(), strict=True):
                weight[token] = weight[pieces].mean(0)
    return model


def load_model(
    source: Path | str,
    params: Model,
    *,
    dtype: "torch.dtype",
    revision: str | None = None,
    quantization: str = "none",
) -> "PreTrainedModel":
    """A causal language model from a local folder or the Hub: safetensors only, on the device."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    _must_be_there(source)
    options: dict[str, Any] = {}
    if quantization == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    try:
        model = AutoModelForCausalLM.from_pretrained(
            source,
            revision=revision,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=params.trust_remote_code,
            local_files_only=isinstance(source, Path),
            device_map={"": pick_device()},
            **options,
        )
    except OSError as error:
        if error.errno is not None:  # the disk's
            raise
        raise ParleyError(
            f"the weights of {source}{f' at {revision}' if revision else ''} cannot be had: not in the local cache "
            "(HF_HOME), and the Hub unreachable or unwilling (HF_TOKEN), or no safetensors among them. "
            "A local folder in model.name needs no network"
        ) from None
    for module in model.modules():
        # On a CPU, bitsandbytes repacks 4-bit weights at the first evaluation; training then goes on without
        # the gradients through them, and says so in a warning only.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model
