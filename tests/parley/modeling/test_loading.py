import json
from pathlib import Path

import pytest
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from parley.modeling.loading import _add_stops


@pytest.mark.parametrize(
    "beside, own, expected",
    [([7, 2], 3, [2, 3, 7]), (7, [3, 2], [2, 3, 7]), (None, 3, [3]), (7, None, [7]), (None, None, None)],
)
def test_end_tokens_beside_an_adapter_join_the_bases_own(
    beside: int | list[int] | None, own: int | list[int] | None, expected: list[int] | None, tmp_path: Path
) -> None:
    settings = {"do_sample": True} if beside is None else {"eos_token_id": beside}
    (tmp_path / "generation_config.json").write_text(json.dumps(settings))
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=9, **sizes))
    model.generation_config = GenerationConfig(eos_token_id=own)
    _add_stops(model, tmp_path)
    assert model.generation_config.eos_token_id == expected
