"""Attention that stays inside each packed example.

transformers calls the registered `per_example` with the whole row of a packed batch; it makes one causal
SDPA call for each example, and none across. On stock SDPA a packed row of T tokens costs a T x T mask;
on a GPU with FlashAttention its variable-length kernel does this job. torch is imported with this module.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.utils import is_flash_attn_2_available

from parley.errors import ParleyError
from parley.packing import flatten

NAME = "per_example"
_SHORT = 256  # tokens


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
    row = (query, key, value)
    # Short rows on a CPU: SDPA's 16-bit backward pass there costs up to twice the 32-bit one.
    wide = tuple(part.float() for part in row) if query.device.type == "cpu" else row
    pieces = []
    for start, end in pairwise(cu_seq_lens_q.tolist()):
        q, k, v = (part[:, :, start:end] for part in (wide if end - start <= _SHORT else row))
        mask = _window(end - start, sliding_window, query.device)
        options = {"dropout_p": dropout, "scale": scaling, "enable_gqa": query.shape[1] != key.shape[1]}
        piece = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, **options)
        pieces.append(piece.to(query.dtype))
    return torch.cat(pieces, dim=2).transpose(1, 2).contiguous(), None


def _window(length: int, size: int | None, device: torch.device) -> torch.Tensor | None:
    """A causal mask that sees `size` tokens back; None where plain causal attention says the same."""
    if size is None or length <= size:
        return None
    place = torch.arange(length, device=device)
    distance = place[:, None] - place[None, :]
    return (distance >= 0) & (distance < size)


AttentionInterface.register(NAME, per_example)


def choose_attention(model: PreTrainedModel, *, half: bool) -> str:
    """Sets, and names, the attention for packed rows on this model and device.

    half: the model computes in 16 bits, which FlashAttention needs. A model with capped attention logits keeps
    its own attention, for which transformers makes a mask from the restarting positions: slower, as exact.
    """
    capped = getattr(model.config.get_text_config(), "attn_logit_softcapping", None) is not None
    if model.device.type == "cuda" and half and is_flash_attn_2_available() and model._supports_flash_attn:
        model.set_attn_implementation("flash_attention_2")
    elif model._supports_sdpa and not capped:
        model.set_attn_implementation(NAME)
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
