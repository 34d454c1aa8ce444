"""The base stage: embedded, local and Hub models."""

import json
from pathlib import Path

from parley.models import Model, load_base, load_tokenizer, read_base


def test_the_embedded_base_loads_like_any_transformers_model(tiny_base: Path) -> None:
    import torch

    model = load_base(
        tiny_base,
        Model(name="parley-tiny", revision="", trust_remote_code=False, template="auto", threads=1),
        dtype=torch.float32,
    )
    assert model.num_parameters() == 1_721_664
    assert model.generation_config.eos_token_id == load_tokenizer(tiny_base).convert_tokens_to_ids("<|im_end|>")


def test_the_record_names_the_template_and_the_weights(tiny_base: Path) -> None:
    base = read_base(tiny_base)
    assert (base.kind, base.name, base.template, base.revision) == ("embedded", "parley-tiny", "chatml", "")
    assert list(base.weights) == ["model.safetensors"]


def test_saved_tokenizer_does_not_pad(tiny_base: Path) -> None:
    # tok(..., padding=True) switches padding on inside the fast tokenizer, and save_pretrained would keep it.
    assert json.loads((tiny_base / "tokenizer.json").read_text(encoding="utf-8"))["padding"] is None
