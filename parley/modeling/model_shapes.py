"""The shape of a model from its config alone: well-known (known_models.yaml), in a folder, or in the Hub's local cache.

Heavy imports sit inside functions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parley.errors import ParleyError, near_misses
from parley.modeling.models import read_base
from parley.params import read_yaml

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_KNOWN = Path(__file__).with_name("known_models.yaml")


@dataclass(frozen=True, slots=True)
class Shape:
    """What memory depends on in a model."""

    parameters: int
    linear: int  # of those, in the linear layers that QLoRA quantises
    adapter: int  # inputs plus outputs of these layers: an adapter of rank r has r x this many parameters
    layers: int
    hidden: int
    heads: int
    keys: int  # width of all keys of a token: key-value heads x head size
    mlp: int
    vocabulary: int


def known_models() -> dict[str, dict[str, Any]]:
    """Name -> fields of the config, for the models of known_models.yaml."""
    return read_yaml(_KNOWN)


def config_of(name: str, *, revision: str = "", trust_remote_code: bool = False) -> "PretrainedConfig":
    """The config of a well-known model by name, of a folder, of models/base, or of a Hub model in the local cache."""
    from transformers import AutoConfig

    known = known_models()
    if name in known:
        fields = dict(known[name])
        return AutoConfig.for_model(fields.pop("model_type"), **fields)
    folder = Path(name)
    if (folder / "base.json").is_file() and (base := read_base(folder)).source:
        return config_of(base.source, revision=base.revision, trust_remote_code=trust_remote_code)
    options = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    try:
        return AutoConfig.from_pretrained(folder if folder.is_dir() else name, revision=revision or None, **options)
    except (OSError, ValueError) as error:
        if folder.is_dir():
            there = (folder / "config.json").is_file()
            found = f"its config.json cannot be used ({type(error).__name__})" if there else "no config.json in it"
            raise ParleyError(f"{folder}: {found}") from None
        raise ParleyError(
            f"{name}: neither a folder with a config.json, nor a Hub model in the local cache, nor a well-known one"
            f"{near_misses(name, known)}"
        ) from None


def shape_of(config: "PretrainedConfig", *, trust_remote_code: bool = False) -> Shape:
    """Counted on a model without weights (torch's meta device)."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    head = model.get_output_embeddings()
    linears = [part for part in model.modules() if isinstance(part, torch.nn.Linear) and part is not head]
    text = config.get_text_config()
    heads = text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // heads
    return Shape(
        parameters=sum(weight.numel() for weight in model.parameters()),
        linear=sum(part.weight.numel() for part in linears),
        adapter=sum(part.in_features + part.out_features for part in linears),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        heads=heads,
        keys=(getattr(text, "num_key_value_heads", None) or heads) * size,
        mlp=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        vocabulary=text.vocab_size,
    )
