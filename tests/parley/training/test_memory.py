"""The estimate of memory: its constants are what autograd keeps, and its order is that of the knobs."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from parley.errors import ParleyError
from parley.modeling.model_shapes import config_of, known_models, shape_of
from parley.training.memory import GB, Need, Run, estimate, fitting, generation, largest_batch, out_of_memory, planned

PUBLISHED = {  # parameters, as each model's card says
    "Qwen2.5-0.5B": 494_032_768,
    "Qwen2.5-1.5B": 1_543_714_304,
    "Qwen2.5-7B": 7_615_616_512,
    "TinyLlama-1.1B": 1_100_048_384,
    "Llama-2-7B": 6_738_415_616,
}
SHAPES: dict = {}
LORA = Run("lora", "none", "bf16", "cuda", 4, 2048, 0.5, 1, 16, False, False)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_well_known_model_has_the_parameters_that_its_card_says(name: str) -> None:
    assert shape_of(config_of(name)).parameters == PUBLISHED[name]


def test_a_folder_without_a_usable_config_is_told(tmp_path: Path) -> None:
    with pytest.raises(ParleyError, match=f"{tmp_path}: no config.json in it"):
        config_of(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ParleyError, match=r"its config\.json cannot be used"):
        config_of(str(tmp_path))


def test_every_well_known_model_is_checked() -> None:
    assert set(known_models()) == set(PUBLISHED)


def _kept(mode: str, precision: str, dropout: bool, tokens: int, layers: int) -> int:
    """Bytes that autograd keeps of a forward pass, without weights, as parley trains."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64,
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    model = LlamaForCausalLM(config).train()
    if mode == "lora":
        adapter = LoraConfig(r=8, target_modules="all-linear", lora_dropout=0.1 if dropout else 0.0)
        model = get_peft_model(model, adapter)
    own = {part.untyped_storage().data_ptr() for part in (*model.parameters(), *model.buffers())}
    found: dict[int, int] = {}
    held = []

    def pack(part: torch.Tensor) -> torch.Tensor:
        storage = part.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
            held.append(part)  # else its address is used again
        return part

    ids, last = torch.zeros(1, tokens, dtype=torch.long), torch.tensor([0])
    amp = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda part: part), amp:
        model(input_ids=ids, position_ids=torch.arange(tokens)[None], use_cache=False, logits_to_keep=last)
    return sum(found.values())


@pytest.mark.parametrize(
    ("mode", "precision", "dropout"),
    [
        ("full", "bf16", False),
        ("full", "fp32", False),
        ("lora", "bf16", False),
        ("lora", "fp32", False),
        ("lora", "bf16", True),
        ("lora", "fp32", True),
    ],
)
def test_activations_are_what_autograd_keeps_of_a_layer(mode: str, precision: str, dropout: bool) -> None:
    def layer(tokens: int) -> int:
        return _kept(mode, precision, dropout, tokens, 3) - _kept(mode, precision, dropout, tokens, 2)

    shape = shape_of(
        config_of_llama(hidden_size=128, intermediate_size=320, num_attention_heads=4, num_key_value_heads=2)
    )
    run = Run(mode, "none", precision, "cuda", 1, 64, 0.5, 1, 8, dropout, False)
    expected = (
        estimate(shape, replace(run, tokens=128)).parts["activations"] - estimate(shape, run).parts["activations"]
    )
    assert layer(128) - layer(64) == pytest.approx(expected / shape.layers, rel=0.02)


def config_of_llama(**fields: int) -> object:
    from transformers import LlamaConfig

    return LlamaConfig(vocab_size=64, num_hidden_layers=2, **fields)


def test_parts_of_a_full_run_are_16_bytes_a_weight_and_those_of_the_formula() -> None:
    shape = shape_of(config_of("Qwen2.5-0.5B"))
    found = estimate(shape, replace(LORA, mode="full", precision="fp32", batch_size=1, tokens=1))
    assert found.parts["weights"] + found.parts["gradients"] + found.parts["optimizer"] == 16 * shape.parameters
    adapter = estimate(shape, LORA).parts
    assert adapter["weights"] == 2 * shape.parameters + 4 * 16 * shape.adapter
    assert adapter["gradients"] + adapter["optimizer"] == 12 * 16 * shape.adapter


@given(st.sampled_from(sorted(PUBLISHED)), st.integers(1, 32), st.integers(64, 8192), st.sampled_from(["none", "nf4"]))
def test_checkpointing_and_four_bits_never_take_more_and_larger_batches_never_less(
    name: str, size: int, tokens: int, quantization: str
) -> None:
    shape = SHAPES.setdefault(name, shape_of(config_of(name)))
    run = replace(LORA, batch_size=size, tokens=tokens, quantization=quantization)
    peak = estimate(shape, run).peak
    assert estimate(shape, replace(run, checkpointing=True)).peak <= peak
    assert estimate(shape, replace(run, quantization="nf4")).peak <= peak
    assert estimate(shape, replace(run, batch_size=size + 1)).peak > peak


def test_the_largest_batch_fits_and_the_next_does_not() -> None:
    shape = shape_of(config_of("Qwen2.5-1.5B"))
    size = largest_batch(shape, LORA, 24 * GB)
    peaks = [estimate(shape, replace(LORA, batch_size=number)).peak for number in (size, size + 1)]
    assert peaks[0] <= 24 * GB < peaks[1]
    assert largest_batch(shape, LORA, GB) == 0


def test_checkpointing_comes_only_when_it_is_needed_and_what_cannot_fit_is_refused_with_the_knobs_in_order() -> None:
    shape = shape_of(config_of("Qwen2.5-0.5B"))
    alone = estimate(shape, LORA).peak
    assert not planned(Need(shape, LORA, alone), "auto").run.checkpointing
    assert planned(Need(shape, LORA, alone - 1), "auto").run.checkpointing
    assert planned(Need(shape, LORA, alone), "on").run.checkpointing
    small = Need(shape, LORA, 16 * GB)
    with pytest.raises(ParleyError, match=r"training would not fit: about \d+\.\d GB are needed, the device has 16\.0"):
        planned(small, "off")
    said = small.advice()
    knobs = ["train.batch_size and raise train.accumulation", "train.checkpointing", "encode.max_length"]
    assert [said.index(knob) for knob in knobs] == sorted(said.index(knob) for knob in knobs)
    assert "This fits, says the estimate: train.batch_size: 2, train.accumulation: 2." in said


def test_the_settings_that_fit_keep_the_size_of_a_step() -> None:
    shape = shape_of(config_of("Qwen2.5-7B"))
    found = fitting(shape, LORA, 24 * GB)
    assert found and estimate(shape, found).peak <= 24 * GB
    assert found.batch_size * found.accumulation == LORA.batch_size * LORA.accumulation
    assert fitting(shape, LORA, 2 * GB) is None


def test_generation_holds_weights_and_the_keys_and_values_of_every_token() -> None:
    shape = shape_of(config_of("Qwen2.5-0.5B"))
    one, two = (generation(shape, batch_size=1, length=length, width=2) for length in (1000, 2000))
    assert two - one == 1000 * 2 * 24 * 128 * 2


def test_an_unknown_model_fails_with_the_near_misses() -> None:
    with pytest.raises(ParleyError, match=r"Qwen2\.5-7b: neither a folder .*Qwen2\.5-7B"):
        config_of("Qwen2.5-7b")


def test_a_cpu_that_is_out_of_memory_is_known_by_its_words_and_other_errors_are_not_taken_for_it() -> None:
    with pytest.raises(RuntimeError) as full:
        torch.empty(2**48, dtype=torch.uint8)
    with pytest.raises(RuntimeError) as other:
        torch.zeros(2) @ torch.zeros(3)
    assert (out_of_memory(full.value), out_of_memory(other.value)) == (True, False)
    assert out_of_memory(torch.OutOfMemoryError())
