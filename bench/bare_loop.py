"""The loop that training is measured against: torch, transformers and peft, and nothing between them.

    python -m bench.bare_loop WORK lora|full

bf16 autocast, packed rows, one causal SDPA call a document, the model's own loss over all positions, AdamW with
clipped gradients. Writes the same record as bench/stopwatch does.
"""

import json
import os
import random
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from transformers import AttentionInterface, AutoModelForCausalLM

BATCH_ROWS = 4


def by_document(_module: Any, q: Any, k: Any, v: Any, _mask: Any, *, bounds: Any, scaling: Any = None, **_: Any) -> Any:
    pieces = [
        scaled_dot_product_attention(
            *(part[:, :, start:end] for part in (q, k, v)),
            is_causal=True,
            scale=scaling,
            enable_gqa=q.shape[1] != k.shape[1],
        )
        for start, end in pairwise(bounds)
    ]
    return torch.cat(pieces, dim=2).transpose(1, 2).contiguous(), None


def main(work: Path, mode: str) -> None:
    settings = json.loads((work / "settings.json").read_text())
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    AttentionInterface.register("by_document", by_document)
    model = AutoModelForCausalLM.from_pretrained(work / "model", dtype=torch.float32, attn_implementation="by_document")
    if mode == "lora":
        adapter = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(model, adapter)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=settings["lr"], weight_decay=0.0)
    documents = [json.loads(line) for line in (work / "documents.jsonl").open()]
    rows = json.loads((work / "rows.json").read_text())
    random.Random(0).shuffle(rows)
    steps = [[index for row in rows[at : at + BATCH_ROWS] for index in row] for at in range(0, len(rows), BATCH_ROWS)]
    model.train()
    started, cpu, tokens = time.monotonic(), time.process_time(), 0
    for indices in steps:
        found = [documents[index] for index in indices]
        ids = torch.tensor([token for document in found for token in document["input_ids"]])[None]
        labels = torch.tensor([label for document in found for label in (-100, *document["labels"][1:])])
        positions = torch.cat([torch.arange(len(document["input_ids"])) for document in found])[None]
        bounds = [0, *torch.tensor([len(document["input_ids"]) for document in found]).cumsum(0).tolist()]
        with torch.autocast("cpu", torch.bfloat16, enabled=settings["bf16"]):
            logits = model(input_ids=ids, position_ids=positions, use_cache=False, bounds=bounds).logits[0]
            loss = cross_entropy(logits[:-1].float(), labels[1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        tokens += ids.numel()
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    record = {"started": started, "seconds": seconds, "cpu": cpu, "steps": len(steps), "tokens": tokens}
    Path(os.environ["STOPWATCH"]).write_text(json.dumps(record))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
