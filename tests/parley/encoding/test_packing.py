"""Packing and attention: every example once, and none sees another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import WIDTHS

from parley.encoding.packing import best_fit, flatten
from parley.errors import ParleyError


@given(st.lists(st.integers(1, 64), max_size=80))
def test_every_example_is_packed_once_and_no_row_is_too_long(lengths: list[int]) -> None:
    groups = best_fit(lengths, 64)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in group) <= 64 for group in groups)


@given(st.lists(st.integers(1, 64), max_size=80))
def test_no_example_would_fit_into_an_older_row(lengths: list[int]) -> None:
    """What best-fit decreasing promises: a row is opened only when the example fits nowhere."""
    groups = best_fit(lengths, 64)
    for number, group in enumerate(groups):
        for older in groups[:number]:
            longer = [lengths[i] for i in older if (-lengths[i], i) < (-lengths[group[0]], group[0])]
            assert sum(longer) + lengths[group[0]] > 64


def test_the_tightest_row_is_taken() -> None:
    assert best_fit([6, 5, 3, 4, 2], 10) == [[0, 3], [1, 2, 4]]


def test_an_example_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="11 tokens does not fit into 10"):
        best_fit([11], 10)


def test_flattened_examples_restart_their_positions_and_ignore_each_first_label() -> None:
    row = flatten([[7, 8, 9], [4, 5]], [[7, 8, 9], [-100, 5]])
    assert row["input_ids"].tolist() == [[7, 8, 9, 4, 5]]
    assert row["position_ids"].tolist() == [[0, 1, 2, 0, 1]]
    assert row["labels"].tolist() == [[-100, 8, 9, -100, 5]]
    assert row["cu_seq_lens_q"].tolist() == row["cu_seq_lens_k"].tolist() == [0, 3, 5]
    assert row["max_length_q"] == row["max_length_k"] == 3
    assert "attention_mask" not in row


def _llama(**settings: object) -> object:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    kind = (MistralConfig, MistralForCausalLM) if "sliding_window" in settings else (LlamaConfig, LlamaForCausalLM)
    config = kind[0](
        **WIDTHS,
        initializer_range=0.5,  # large logits, so that a leak is large too
        **settings,
    )
    return kind[1](config).eval()


EXAMPLES = [[5, 9, 2, 7, 1], [3, 3, 8], [9, 1, 4, 4, 6, 2, 8, 5], [7, 2]]


def _difference(model: object, **options: object) -> float:
    """Largest difference between the packed logits and each example's alone."""
    import torch

    row = flatten(EXAMPLES, EXAMPLES)
    row.pop("labels")
    with torch.no_grad():
        packed = model(**{**row, "use_cache": False, **options}).logits[0]
        start, largest = 0, 0.0
        for ids in EXAMPLES:
            one = flatten([ids], [ids])
            one.pop("labels")
            alone = model(**one, use_cache=False).logits[0]
            largest = max(largest, float((packed[start : start + len(ids)] - alone).abs().max()))
            start += len(ids)
    return largest


@pytest.mark.parametrize("settings", [{}, {"sliding_window": 4}], ids=["full", "sliding window"])
def test_logits_of_a_packed_example_do_not_depend_on_its_neighbours(settings: dict) -> None:
    from parley.training.attention import choose_attention

    model = _llama(**settings)
    assert _difference(model) < 1e-4  # transformers' own block mask: correct, and slow
    assert choose_attention(model, half=False) == "per_example"
    assert _difference(model) < 1e-4


def test_attention_per_example_is_that_of_the_model_itself() -> None:
    import torch

    from parley.training.attention import choose_attention

    model = _llama(sliding_window=4)
    ids = torch.tensor([EXAMPLES[2]])
    with torch.no_grad():
        expected = model(input_ids=ids, use_cache=False).logits
        choose_attention(model, half=False)
        row = flatten([EXAMPLES[2]], [EXAMPLES[2]])
        row.pop("labels")
        assert torch.allclose(model(**row, use_cache=False).logits, expected, atol=1e-5)


def test_torchs_varlen_takes_what_a_packed_row_gives_it_and_refuses_a_mask() -> None:
    """On torch's meta device, where shapes and kinds of numbers are checked and nothing is computed."""
    import torch

    from parley.training.attention import varlen

    q = torch.empty(1, 4, 90, 16, device="meta", requires_grad=True)
    k, v = (torch.empty(1, 2, 90, 16, device="meta", dtype=torch.bfloat16, requires_grad=True) for _ in "kv")
    row = {"cu_seq_lens_q": torch.empty(3, dtype=torch.int32, device="meta"), "max_length_q": 60}
    for window in (None, 4):
        made, _ = varlen(torch.nn.Module(), q, k, v, None, scaling=0.2, sliding_window=window, **row)
        assert (made.shape, made.dtype) == ((1, 90, 4, 16), torch.bfloat16)
    made.sum().backward()
    assert [(part.grad.shape, part.grad.dtype) for part in (q, k, v)] == [
        (part.shape, part.dtype) for part in (q, k, v)
    ]
    with pytest.raises(RuntimeError, match="Module called without cu_seq_lens_q, or with a mask"):
        varlen(torch.nn.Module(), q, k, v, torch.ones(1), **row)


@pytest.mark.gpu
@pytest.mark.parametrize("window", [None, 4])
def test_torchs_varlen_is_attention_per_example_forward_and_backward(window: int | None) -> None:
    import torch

    from parley.training.attention import per_example, varlen

    torch.manual_seed(0)
    parts = [torch.randn(1, heads, 90, 64, device="cuda", dtype=torch.bfloat16) for heads in (4, 2, 2)]
    bounds = torch.tensor([0, 7, 60, 90], dtype=torch.int32, device="cuda")
    found = []
    for attention in (per_example, varlen):
        q, k, v = (part.clone().requires_grad_() for part in parts)
        options = {"cu_seq_lens_q": bounds, "max_length_q": 53, "sliding_window": window}
        made, _ = attention(torch.nn.Module(), q, k, v, None, **options)
        made.float().square().sum().backward()
        found.append([made, q.grad, k.grad, v.grad])
    for one, other in zip(*found, strict=True):
        assert float((one - other).float().norm() / one.float().norm()) < 0.02


@pytest.mark.parametrize("settings", [{}, {"sliding_window": 4}], ids=["full", "sliding window"])
def test_under_bf16_autocast_no_example_sees_another_and_logits_stay_near(settings: dict) -> None:
    import torch

    from parley.training.attention import choose_attention

    model = _llama(**settings)
    row = flatten(EXAMPLES, EXAMPLES)
    row.pop("labels")
    with torch.no_grad():
        expected = model(**row, use_cache=False).logits
        choose_attention(model, half=True)
        with torch.autocast("cpu", torch.bfloat16):
            found = model(**row, use_cache=False).logits.float()
            assert _difference(model) == 0.0
    assert float((found - expected).norm() / expected.norm()) < 0.03


def test_bf16_attention_is_as_near_to_exact_as_sdpa_forward_and_backward() -> None:
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    from parley.training.attention import per_example

    torch.manual_seed(0)
    q, k, v = torch.randn(1, 4, 90, 16) * 2, torch.randn(1, 2, 90, 16) * 2, torch.randn(1, 2, 90, 16)
    weights = torch.randn(1, 4, 90, 16)

    def result(dtype: torch.dtype, *, ours: bool) -> torch.Tensor:
        parts = [part.to(torch.bfloat16).to(dtype).requires_grad_() for part in (q, k, v)]
        if ours:
            made, _ = per_example(torch.nn.Module(), *parts, None, cu_seq_lens_q=torch.tensor([0, 90]))
            made = made.transpose(1, 2)
        else:
            made = scaled_dot_product_attention(*parts, is_causal=True, enable_gqa=True)
        made.backward(weights.to(dtype))
        made = made.detach()
        return torch.cat([part.double().flatten() for part in (made, *(part.grad for part in parts))])

    exact = result(torch.float64, ours=False)
    error = [float((result(torch.bfloat16, ours=ours) - exact).norm() / exact.norm()) for ours in (True, False)]
    assert error[0] < 1.5 * error[1] < 0.02


def test_what_would_leak_in_silence_is_harmless_or_refused() -> None:
    """An all-ones mask or a cache makes stock attention mix the examples: the reason for attention of our own."""
    import torch

    from parley.training.attention import choose_attention

    ones = torch.ones(1, sum(map(len, EXAMPLES)), dtype=torch.long)
    model = _llama()
    assert _difference(model, attention_mask=ones) > 0.1
    assert _difference(model, use_cache=True) > 0.1
    choose_attention(model, half=False)
    assert _difference(model, attention_mask=ones) < 1e-4
    assert _difference(model, use_cache=True) < 1e-4
    with pytest.raises(RuntimeError, match="without cu_seq_lens_q"):
        model(input_ids=torch.tensor([EXAMPLES[0]]), use_cache=False)


def test_a_model_that_mixes_packed_examples_is_refused() -> None:
    from parley.training.attention import prove_isolation

    model = _llama()
    prove_isolation(model, EXAMPLES[2])
    forward = model.forward
    model.forward = lambda **row: forward(input_ids=row["input_ids"], use_cache=False)  # knows no bounds
    with pytest.raises(ParleyError, match="packed examples see each other in LlamaForCausalLM"):
        prove_isolation(model, EXAMPLES[2])


def test_capped_attention_keeps_the_models_own_and_stays_isolated() -> None:
    import torch
    from transformers import Gemma2Config, Gemma2ForCausalLM

    from parley.training.attention import choose_attention

    torch.manual_seed(0)
    config = Gemma2Config(
        **WIDTHS,
        head_dim=8,
        initializer_range=0.5,
    )
    model = Gemma2ForCausalLM(config).eval()
    assert choose_attention(model, half=False) != "per_example"
    assert _difference(model) < 1e-4
