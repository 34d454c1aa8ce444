"""Attention that stays inside each packed example.

transformers calls the registered `per_example` with the whole row of a packed batch; it makes one causal
SDPA call for each example, and none across. On stock SDPA a packed row of T tokens costs a T x T mask;
on a GPU a variable-length kernel does this job in one call: FlashAttention's, else torch's own, by `varlen`
(https://docs.pytorch.org/docs/2.13/nn.attention.varlen.html). torch is imported with this module.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.utils import is_flash_attn_2_available

from parley.encoding.packing import flatten
from parley.errors import ParleyError

NAME = "per_example"
VARLEN = "varlen"
_SHORT = 512  # tokens: up to here `_Short` takes a half to a third of the time of SDPA's 16-bit passes on a CPU


class _Short(torch.autograd.Function):
    """Masked attention of one short example on a CPU, q, k, v of (heads, tokens, size) in bfloat16.

    Scores and softmax in 32 bits, products in 16, as flash attention computes it: the rounding is that of SDPA.
    """

    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor, scale: float) -> Any:
        scores = torch.baddbmm(mask, q.float(), k.float().transpose(1, 2), alpha=scale)
        shares = torch.softmax(scores, -1).to(q.dtype)
        ctx.save_for_backward(q, k, v, shares)
        ctx.scale = scale
        return torch.bmm(shares, v)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        q, k, v, shares = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        of_v = torch.bmm(shares.transpose(1, 2), gradient)
        of_shares = torch.bmm(gradient, v.transpose(1, 2))
        of_scores = torch._softmax_backward_data(of_shares, shares, -1, shares.dtype).mul_(ctx.scale)
        return torch.bmm(of_scores, k), torch.bmm(of_scores.transpose(1, 2), q), of_v, None, None


def per_example(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """The attention's output, (1, tokens, heads, size), for query, key, value of (1, heads, tokens, size).

    Raises RuntimeError without the examples' bounds, or with a mask: either would let examples see each other.
    """
    if cu_seq_lens_q is None or attention_mask is not None or query.shape[2] != key.shape[2]:
        raise RuntimeError(f"{type(module).__name__} called without cu_seq_lens_q, or with a mask or a cache")
    grouped = query.shape[1] != key.shape[1]
    # Under autocast the rotary embedding leaves query and key in 32 bits; value has the type that is computed in.
    by_hand = query.device.type == "cpu" and value.dtype == torch.bfloat16 and not dropout
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    pieces = []
    for start, end in pairwise(cu_seq_lens_q.tolist()):
        q, k, v = (part[:, :, start:end] for part in (query, key, value))
        if by_hand and end - start <= _SHORT:
            if grouped:
                k, v = (part.repeat_interleave(query.shape[1] // key.shape[1], dim=1) for part in (k, v))
            with torch.autocast("cpu", enabled=False):
                q, k, v = (part[0].to(value.dtype) for part in (q, k, v))
                pieces.append(_Short.apply(q, k, v, _hidden(end - start, sliding_window), scale)[None])
            continue
        mask = _window(end - start, sliding_window, query.device)
        options = {"dropout_p": dropout, "scale": scale, "enable_gqa": grouped}
        pieces.append(scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, **options))
    return torch.cat(pieces, dim=2).transpose(1, 2).contiguous(), None


@lru_cache(maxsize=64)
def _hidden(length: int, window: int | None) -> torch.Tensor:
    """What is added to the scores: minus infinity where a token must not look."""
    seen = _window(length, window, torch.device("cpu"))
    seen = torch.ones(length, length, dtype=torch.bool).tril() if seen is None else seen
    return torch.zeros(length, length).masked_fill(~seen, float("-inf"))


def _window(length: int, size: int | None, device: torch.device) -> torch.Tensor | None:
    """A causal mask that sees `size` tokens back; None where plain causal attention says the same."""
    if size is None or length <= size:
        return None
    place = torch.arange(length, device=device)
    distance = place[:, None] - place[None, :]
    return (distance >= 0) & (distance < size)


def varlen(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int = 0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """`per_example` in one call of torch's kernel, which wants a GPU of 2020 or later and computes in 16 bits.

    It has not run on a GPU yet: a test marked gpu compares the two.
    """
    from torch.nn.attention.varlen import varlen_attn

    if cu_seq_lens_q is None or attention_mask is not None or query.shape[2] != key.shape[2] or dropout:
        raise RuntimeError(f"{type(module).__name__} called without cu_seq_lens_q, or with a mask, a cache or dropout")
    half = torch.bfloat16 if value.dtype == torch.float32 else value.dtype
    q, k, v = (part[0].transpose(0, 1).to(half).contiguous() for part in (query, key, value))
    bounds, longest = cu_seq_lens_q, max_length_q
    window = (-1 if sliding_window is None else sliding_window - 1, 0)
    grouped = q.shape[1] != k.shape[1]
    made = varlen_attn(q, k, v, bounds, bounds, longest, longest, scale=scaling, window_size=window, enable_gqa=grouped)
    return made[None].to(value.dtype), None


AttentionInterface.register(NAME, per_example)
AttentionInterface.register(VARLEN, varlen)


def choose_attention(model: PreTrainedModel, *, half: bool) -> str:
    """Sets, and names, the attention for packed rows on this model and device.

    half: the model computes in 16 bits, which FlashAttention needs. A model with capped attention logits keeps
    its own attention, for which transformers makes a mask from the restarting positions: slower, as exact.
    """
    config = model.config.get_text_config()
    capped = getattr(config, "attn_logit_softcapping", None) is not None
    on_gpu = model.device.type == "cuda" and half and model._supports_flash_attn
    if on_gpu and is_flash_attn_2_available():
        model.set_attn_implementation("flash_attention_2")
    elif model._supports_sdpa and not capped:
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        able = on_gpu and torch.cuda.get_device_capability() >= (8, 0) and size % 8 == 0 and size <= 256
        able = able and not getattr(config, "attention_dropout", 0.0)
        model.set_attn_implementation(VARLEN if able else NAME)
    return str(model.config._attn_implementation)


def prove_isolation(model: PreTrainedModel, ids: Sequence[int]) -> None:
    """Runs an example behind two different neighbours; raises ParleyError if its logits tell them apart."""
    neighbours = (list(ids), list(reversed(ids)))
    logits = []
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for neighbour in neighbours:
            row = flatten([neighbour, ids], [neighbour, ids])
            row.pop("labels")
            row = {name: part.to(model.device) if torch.is_tensor(part) else part for name, part in row.items()}
            logits.append(model(**row, use_cache=False).logits[0, len(ids) :].float())
    model.train(was_training)
    difference = float((logits[0] - logits[1]).abs().max())
    if difference > 1e-3 * float(logits[0].abs().max()):
        raise ParleyError(
            f"packed examples see each other in {type(model).__name__} (logits differ by {difference:.2g}): "
            "this model cannot be trained on packed rows. Set train.packing: false and train.batch_size: 1"
        )
