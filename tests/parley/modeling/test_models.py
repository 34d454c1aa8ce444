"""Models on disk and in memory."""

import json
import os
from pathlib import Path

import pytest
from tiny_models import MODEL

from parley.errors import ParleyError
from parley.modeling.models import Base, add_stop, load_base, load_model, read_base, weight_sums, write_base


def test_base_reads_back_as_written(tmp_path: Path) -> None:
    base = Base("a/b", "hub", "a/b", "0" * 40, "own", {})
    write_base(tmp_path, base)
    assert read_base(tmp_path) == base


def test_pickled_weights_are_refused_unless_safetensors_stand_beside_them(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ParleyError, match=r"pickled weights \(pytorch_model\.bin\)"):
        weight_sums(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"y")
    assert list(weight_sums(tmp_path)) == ["model.safetensors"]


def test_other_weights_than_the_recorded_ones_are_refused(tmp_path: Path) -> None:
    import torch

    (tmp_path / "model.safetensors").write_bytes(b"y")
    write_base(tmp_path, Base("parley-tiny", "embedded", "", "", "chatml", {"model.safetensors": "0" * 64}))
    with pytest.raises(ParleyError, match="not those that models/base was made from"):
        load_base(tmp_path, MODEL, dtype=torch.float32)


def test_a_folder_without_weights_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    import torch

    (tmp_path / "config.json").write_bytes((tiny_base / "config.json").read_bytes())
    with pytest.raises(ParleyError, match="cannot be had"):
        load_model(tmp_path, MODEL, dtype=torch.float32)


def test_evaluating_a_4_bit_base_leaves_its_gradients_alone(tiny_base: Path) -> None:
    import torch

    model = load_base(tiny_base, MODEL, dtype=torch.float32, quantization="nf4")
    model.requires_grad_(False)
    ids = torch.tensor([[5, 9, 20, 7]])

    def gradient() -> torch.Tensor:
        inputs = model.get_input_embeddings()(ids).detach().requires_grad_()
        model.train()(inputs_embeds=inputs, labels=ids, use_cache=False).loss.backward()
        assert inputs.grad is not None
        return inputs.grad

    before = gradient()
    with torch.no_grad():
        model.eval()(input_ids=ids)
    assert torch.equal(gradient(), before)


@pytest.mark.parametrize("own, expected", [(None, [7]), (7, 7), (2, [2, 7]), ([2, 9], [2, 7, 9])])
def test_a_models_generation_stops_at_its_end_token_too(tmp_path: Path, own: object, expected: object) -> None:
    (tmp_path / "other.json").write_text(json.dumps({"eos_token_id": own, "top_k": 5}))
    os.link(tmp_path / "other.json", tmp_path / "generation_config.json")
    add_stop(tmp_path, 7)
    settings = json.loads((tmp_path / "generation_config.json").read_text())
    assert settings == {"eos_token_id": expected, "top_k": 5}
    assert json.loads((tmp_path / "other.json").read_text())["eos_token_id"] == own
