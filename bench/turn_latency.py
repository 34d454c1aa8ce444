"""How long an end-of-turn detector of the size of Qwen2.5-0.5B takes: whole, and with the prefix's cache kept.

    python -m bench.turn_latency

Random weights, which cost what trained ones do. 128 tokens are read anew, or the first of them stay in the key-value
cache from the call before, as in a live talk where each call adds the words since the last. Linear layers with weights
in 8 bits (torch's dynamic quantisation), bf16, and fp32.
"""

import copy
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from transformers import DynamicCache, Qwen2ForCausalLM

from parley.inference.latency import percentiles
from parley.modeling.model_shapes import config_of
from parley.modeling.models import set_threads

TOKENS = 128
NEW = (TOKENS, 16, 4)  # tokens that a call adds
END = 1
CALLS = 10


def call(model: Any, ids: torch.Tensor, cache: DynamicCache | None) -> float:
    """The probability of the end token after all ids; the cache is left as it was."""
    with torch.inference_mode():
        logits = model(input_ids=ids, past_key_values=cache, use_cache=cache is not None, logits_to_keep=1).logits
        if cache is not None:
            cache.crop(-ids.shape[1])
    return float(logits[0, -1].float().softmax(-1)[END])


def rows() -> Iterator[tuple[str, int, int, float, float]]:
    """(form, threads, new tokens, p50, p95) of every measurement."""
    torch.manual_seed(0)
    plain = Qwen2ForCausalLM(config_of("Qwen2.5-0.5B")).eval()
    forms = {"int8": lambda: quantised(plain), "bf16": lambda: copy.deepcopy(plain).bfloat16(), "fp32": lambda: plain}
    ids = torch.randint(0, 150_000, (1, TOKENS))
    for form, make in forms.items():
        model = make()
        for threads in (1, 2):
            set_threads(threads)
            for new in NEW:
                cache = None
                if new < TOKENS:
                    cache = DynamicCache(config=model.config)
                    with torch.inference_mode():
                        model(input_ids=ids[:, :-new], past_key_values=cache, use_cache=True, logits_to_keep=1)
                part = ids[:, -new:]
                middle, late = percentiles(lambda _, m=model, p=part, c=cache: call(m, p, c), range(CALLS))
                yield form, threads, new, middle, late


def quantised(model: Qwen2ForCausalLM) -> Any:
    """Linear layers with weights in 8 bits, activations rounded as they come."""
    warnings.simplefilter("ignore")
    return torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {torch.nn.Linear}, dtype=torch.qint8)


def main() -> None:
    print(f"Random weights, {TOKENS} tokens of context. GPU: not measured.\n")
    print("| weights | threads | tokens read anew | p50 ms | p95 ms |\n|---|---|---|---|---|")
    for row in rows():
        print(f"| {' | '.join(str(cell) for cell in row)} |", flush=True)


if __name__ == "__main__":
    main()
