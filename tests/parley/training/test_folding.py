"""folding: shard by shard gives what peft's own merge of the whole model gives."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_models import WIDTHS

from parley.training import folding


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with random weights in bf16."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        **WIDTHS,
    )
    folder = tmp_path_factory.mktemp("base")
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def with_adapter(base: Path, folder: Path, **settings: Any) -> dict[str, Any]:
    """Saves an adapter of random weights; returns the weights of peft's own merge, in 32 bits."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    asked = {"r": 4, "target_modules": "all-linear", "init_lora_weights": False, "task_type": "CAUSAL_LM", **settings}
    tuned = get_peft_model(model, LoraConfig(**asked))
    tuned.save_pretrained(folder)
    return tuned.merge_and_unload().state_dict()


VARIANTS = {
    "plain": {},
    "a pattern of ranks": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 32}, "use_rslora": True},
    "dora": {"use_dora": True},
    "some layers": {"target_modules": ["q_proj", "down_proj"]},
}


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_every_weight_is_that_of_pefts_own_merge_rounded_once(base: Path, tmp_path: Path, settings: dict) -> None:
    import torch
    from safetensors.torch import load_file

    expected = with_adapter(base, tmp_path / "adapter", **settings)
    (tmp_path / "made").mkdir()
    assert folding.fold(base, tmp_path / "adapter", tmp_path / "made", dtype=None, quantized=False)
    found = load_file(tmp_path / "made/model.safetensors")
    assert found.keys() == expected.keys()
    for name, weight in found.items():
        assert weight.dtype == torch.bfloat16
        assert torch.equal(weight, expected[name].to(torch.bfloat16)), name


def test_small_shards_hold_the_same_and_transformers_reads_them(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    expected = with_adapter(base, tmp_path / "adapter")
    monkeypatch.setattr(folding, "SHARD", 10_000)
    (tmp_path / "made").mkdir()
    assert folding.fold(base, tmp_path / "adapter", tmp_path / "made", dtype=torch.float32, quantized=False)
    files = folding.weight_files(tmp_path / "made")
    assert len(files) > 3 and {file.name for file in files} == {
        file.name for file in (tmp_path / "made").glob("*.safetensors")
    }
    index = json.loads((tmp_path / "made/model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(weight.nbytes for weight in expected.values())
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "made")
    assert model.dtype == torch.float32
    assert all(torch.equal(weight, expected[name]) for name, weight in model.state_dict().items())


@pytest.mark.parametrize(
    "settings",
    [
        {"bias": "all"},
        {"modules_to_save": ["lm_head"]},
        {"trainable_token_indices": [3]},
        {"target_modules": ["embed_tokens", "q_proj"]},
    ],
    ids=["biases", "a saved module", "token rows", "an embedding"],
)
def test_more_than_layers_of_its_own_is_left_to_the_whole_model(base: Path, tmp_path: Path, settings: dict) -> None:
    with_adapter(base, tmp_path / "adapter", **settings)
    (tmp_path / "made").mkdir()
    assert not folding.fold(base, tmp_path / "adapter", tmp_path / "made", dtype=None, quantized=False)
    assert list((tmp_path / "made").iterdir()) == []


def test_weights_of_other_names_are_left_to_the_whole_model(base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    with_adapter(base, tmp_path / "adapter")
    (tmp_path / "renamed").mkdir()
    (tmp_path / "made").mkdir()
    (tmp_path / "renamed/config.json").write_bytes((base / "config.json").read_bytes())
    weights = {f"old.{name}": weight for name, weight in load_file(base / "model.safetensors").items()}
    save_file(weights, tmp_path / "renamed/model.safetensors")
    assert not folding.fold(tmp_path / "renamed", tmp_path / "adapter", tmp_path / "made", dtype=None, quantized=False)
