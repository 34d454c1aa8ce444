"""The embedded base model's weights, trained from nothing.

The same seed, steps, conversations and threads on the same machine and versions give the same bytes.
The rates below were tried out at 300 steps: held-out perplexity 3.64 with Muon at 0.02 and AdamW at 0.004
and without `look_back`, 2.95 with it, 2.60 with the rates as they are now.
"""

import json
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parley.conversation import Conversation, to_chat
from parley.embedded.grammar import corpus, held_out
from parley.embedded.model import new_model, train_tokenizer
from parley.progress import Bar

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

NAME = "parley-tiny"
HELD_OUT = 300  # conversations that measure it
STEP_TOKENS = 2048  # in one optimizer step, padding included
MUON_LR, ADAM_LR = 0.01, 0.012

Example = tuple[list[int], list[bool]]  # token ids; where the assistant speaks, end token included


def build(
    folder: Path,
    template: str,
    *,
    seed: int,
    steps: int,
    conversations: int,
    threads: int,
    tokens: Sequence[str] = (),
) -> dict[str, Any]:
    """Trains parley-tiny into `folder` (tokenizer, config, safetensors) and returns its figures."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    from parley.modeling.models import computes_bf16, set_threads

    disable_progress_bar()  # of writing one file
    set_threads(threads)
    torch.manual_seed(seed)
    rows = corpus(seed, conversations)
    tokenizer = train_tokenizer(rows, template, tokens)
    model = new_model(tokenizer)
    precision = torch.bfloat16 if computes_bf16() else torch.float32
    seen = train(model, encode(rows, tokenizer), seed=seed, steps=steps, precision=precision)
    nats = held_out_nats(model, encode(held_out(seed, HELD_OUT), tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # safetensors makes it unreadable to other users
    return {
        "parameters": model.num_parameters(),
        "vocabulary": len(tokenizer),
        "conversations": conversations,
        "steps": steps,
        "tokens_seen": seen,
        "precision": str(precision).removeprefix("torch."),
        "threads": threads,
        "held_out_nats_per_token": round(nats, 4),
        "held_out_perplexity": round(math.exp(nats), 4),
    }


def encode(rows: Sequence[Conversation], tokenizer: "PreTrainedTokenizerFast") -> list[Example]:
    """The rows through the chat template."""
    examples = []
    for row in rows:
        encoded = tokenizer.apply_chat_template(
            to_chat(row),
            tools=json.loads(row.tools) if row.tools else None,
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        examples.append((encoded["input_ids"], [bool(mask) for mask in encoded["assistant_masks"]]))
    return examples


def batches(examples: Sequence[Example], rng: random.Random) -> Iterator[list[Example]]:
    """Batches of examples of like length, of about STEP_TOKENS tokens with padding; without end."""
    while True:
        order = sorted(examples, key=lambda example: (len(example[0]), rng.random()))
        found: list[list[Example]] = [[]]
        for example in order:
            if found[-1] and (len(found[-1]) + 1) * len(example[0]) > STEP_TOKENS:
                found.append([])
            found[-1].append(example)
        rng.shuffle(found)
        yield from found


def tensors(batch: Sequence[Example], pad: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """Ids padded on the right, and labels: -100 on the padding. Causal attention never looks right: no mask."""
    import torch

    # To a multiple of 16: for each new shape oneDNN prepares and keeps kernels, which came to gigabytes.
    width = -(-max(len(ids) for ids, _ in batch) // 16) * 16
    ids = torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in batch])
    return ids, ids.masked_fill(ids == pad, -100)


def train(
    model: "LlamaForCausalLM", examples: Sequence[Example], *, seed: int, steps: int, precision: "torch.dtype"
) -> int:
    """Trains the model in place on every token but the padding; returns how many it saw.

    Muon for the matrices, AdamW for embeddings and norms.
    """
    import torch

    from parley.embedded.muon import Muon

    inner = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    outer = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    optimizers = [
        Muon(inner, lr=MUON_LR, weight_decay=0.1, precision=precision),
        torch.optim.AdamW(outer, lr=ADAM_LR, betas=(0.9, 0.95), weight_decay=0.1),
    ]
    warmup = max(1, steps // 20)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))
        )
        for optimizer in optimizers
    ]
    model.set_attn_implementation("eager")  # in training, on short rows, faster than the fused kernels
    model.train()
    source = batches(examples, random.Random(f"batches {seed}"))
    seen = 0
    bar = Bar(NAME, steps, "steps")
    for step in range(steps):
        ids, labels = tensors(next(source), model.config.pad_token_id)
        with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
            logits = model(input_ids=ids, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
        seen += int((labels != -100).sum())
        bar.advance(note=f"loss {loss.item():.3f} nats/token" if step % 10 == 9 else "")
    bar.close()
    model.set_attn_implementation("sdpa")
    return seen


def held_out_nats(model: "LlamaForCausalLM", examples: Sequence[Example]) -> float:
    """Mean negative log-probability of the assistant's tokens, in nats a token."""
    import torch

    model.eval()
    total, count = 0.0, 0
    order = sorted(examples, key=lambda example: len(example[0]))
    with torch.inference_mode():
        for start in range(0, len(order), 16):
            batch = order[start : start + 16]
            ids, labels = tensors(batch, model.config.pad_token_id)
            width = ids.shape[1]
            spoken = torch.tensor([mask + [False] * (width - len(mask)) for _, mask in batch])
            labels = labels.masked_fill(~spoken, -100)
            logits = model(input_ids=ids, use_cache=False).logits
            total += torch.nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum"
            ).item()
            count += int((labels[:, 1:] != -100).sum())
    return total / count
