"""Training on one GPU: share of its peak (MFU), and estimated against allocated memory. One command, ten minutes.

    python -m bench.gpu [--seconds 560] [--models Qwen2.5-0.5B Qwen2.5-1.5B Qwen2.5-7B]
    python -m bench.gpu --tiny            # two small cases on whatever is there, to see that it runs

The weights are random, of the configs in parley/modeling/known_models.yaml: speed and memory do not depend on their
values, and nothing is downloaded. Each case is the train stage's own trainer, stopped after a few steps. MFU counts
useful tokens only (none is padding), 4 N + 12 L h c FLOPs a token for LoRA (N: parameters without the input embedding,
c: tokens that a token attends to in the mean), no recomputation, and 989 TFLOPS as the peak of an H100 or H200 in
bf16. Cases that the estimate says do not fit are left out, and so are those that --seconds leaves no time for; both
are said.
"""

import argparse
import contextlib
import gc
import itertools
import math
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.train import ROOT, prepare_base, timed, trl, write_chats
from bench.train import chats as text_chats
from parley.encoding.examples import Example
from parley.modeling.model_shapes import Shape, config_of, shape_of
from parley.modeling.models import computes_bf16, pick_device, plain, quiet
from parley.params import read_yaml
from parley.runtime import Runtime
from parley.training.memory import Need, of_training
from parley.training.rows import packed_rows
from parley.training.sft import Train, sft_config

PEAK = 989e12
STEPS, WARM = 12, 4
METHODS = [("full", "none"), ("lora", "none"), ("lora", "nf4")]

MODEL = plain("bench")
BASE = read_yaml(ROOT / "recipes/_base.yaml")


class _Enough(Exception):
    """A case has made its steps."""


def chats(tokens: int, longest: int) -> list[Example]:
    """Examples as long as chats are, about 150 tokens in the median, half of each trained; `longest`: all so long."""
    draw, found, left = random.Random(0), [], tokens
    while left > 0:
        size = longest or max(16, min(1024, round(draw.lognormvariate(math.log(150), 0.7))))
        ids = [draw.randrange(5, 4000) for _ in range(size)]
        found.append(Example(f"c{len(found)}", ids, [-100] * (size // 2) + ids[size // 2 :]))
        left -= size
    return found


def settings(**changes: Any) -> Train:
    return Train(**{**BASE["train"], "epochs": 1, "packing": True, "sft": {}, **changes})


def run(place: Path, params: Train, examples: list[Example], steps: int) -> tuple[Need, float, float]:
    """What was estimated, tokens a second after the warm steps, and MB allocated at most."""
    import torch
    from transformers import TrainerCallback

    from stages import train as stage

    precision = "bf16" if pick_device().type == "cuda" or computes_bf16() else "fp32"
    need = of_training(place / "models/base", MODEL, params, precision=precision, examples=examples, refuse=False)
    runtime = Runtime(**{**BASE["runtime"], "save_steps": 0})
    further = {"gradient_checkpointing": params.checkpointing == "on"}
    config = sft_config(params, runtime, precision=precision, seed=0, folder=place / "checkpoints", further=further)
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    loaded = stage._load_model(place, MODEL, params, config)
    rows = packed_rows(examples, examples[:1], loaded, params, prove=False)
    trainer = stage._trainer(place, loaded, params, config, *rows, save_steps=0)
    ends: list[float] = []

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if on_gpu:
                torch.cuda.synchronize()
            ends.append(time.monotonic())
            if len(ends) == steps:
                raise _Enough

    trainer.add_callback(Watch())
    with contextlib.suppress(_Enough):
        trainer.run(None)
    warm = min(WARM, len(ends) - 2)
    counts = [step["tokens"] for step in trainer.journal.steps]
    rate = sum(counts[warm + 1 : len(ends)]) / (ends[-1] - ends[warm])
    allocated = torch.cuda.max_memory_allocated() / 1e6 if on_gpu else float("nan")
    print(f"attention {loaded.config._attn_implementation}", file=sys.stderr)
    return need, rate, allocated


def mfu(shape: Shape, examples: list[Example], rate: float) -> float:
    lengths = [len(example.input_ids) for example in examples]
    attended = sum(size * size for size in lengths) / 2 / sum(lengths)
    active = shape.linear + shape.vocabulary * shape.hidden
    return rate * (4 * active + 12 * shape.layers * shape.hidden * attended) / PEAK


def speed(place: Path, name: str, batch: int, tokens: int) -> Iterator[str]:
    """A row of the MFU table: LoRA on short chats."""
    examples = chats(tokens, 0)
    params = settings(mode="lora", quantization="none", batch_size=batch, checkpointing="off")
    _, rate, allocated = run(place, params, examples, STEPS)
    shape = shape_of(config_of(str(place / "models/base")))
    longest = max(len(example.input_ids) for example in examples)
    yield f"| {name} | {batch} rows of {longest} | {rate:,.0f} | {mfu(shape, examples, rate):.1%} | {allocated:,.0f} |"


def trl_defaults(place: Path, name: str) -> Iterator[str]:
    """A row of the MFU table: `trl sft --use_peft` with its defaults, on text of about the same lengths."""
    write_chats(place, text_chats(800))
    command, _ = trl(place, "lora", {"gpu": True})
    rate = timed(command, place, 8, wall=True, gpu=True).rate
    yield f"| {name}, trl sft with its defaults | 8 padded | {rate:,.0f} | | |"


def memory(place: Path, name: str, length: int, methods: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Rows of the memory table, for each method and checkpointing off and on."""
    examples = chats(8 * max(length, 512), length)
    for (mode, quantization), on in itertools.product(methods, ("off", "on")):
        params = settings(mode=mode, quantization=quantization, batch_size=1, checkpointing=on)
        label = f"| {name} | {'QLoRA' if quantization == 'nf4' else mode} | {length} | {on} |"
        need = of_training(place / "models/base", MODEL, params, precision="bf16", examples=examples, refuse=False)
        if need.estimate.peak > 0.97 * need.room:
            yield f"{label} {need.estimate.allocated / 1e6:,.0f} | does not fit | |"
            continue
        need, _, allocated = run(place, params, examples, 4)
        said = need.estimate.allocated / 1e6
        yield f"{label} {said:,.0f} | {allocated:,.0f} | {said / allocated - 1:+.0%} |"


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["Qwen2.5-0.5B", "Qwen2.5-1.5B", "Qwen2.5-7B"])
    parser.add_argument("--seconds", type=float, default=560)
    parser.add_argument("--tiny", action="store_true")
    asked = parser.parse_args()
    start = time.monotonic()
    quiet()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU: not measured on a GPU"
    print(f"{device}; torch {torch.__version__}, CUDA {torch.version.cuda}\n")
    tables: dict[str, list[str]] = {"speed": [], "memory": []}
    left_out = []
    names = ["tiny"] if asked.tiny else asked.models
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            config = _tiny() if asked.tiny else config_of(name)
            prepare_base(place, config, device=pick_device(), kind="hub")
            batch, tokens = (2, 6000) if asked.tiny else ({"Qwen2.5-0.5B": 32}.get(name, 16), 600_000)
            parts = [("speed", speed(place, name, batch, tokens))]
            if torch.cuda.is_available() and name == names[0]:
                parts.append(("speed", trl_defaults(place, name)))
            parts += [
                ("memory", memory(place, name, length, METHODS[1:2] if asked.tiny else METHODS))
                for length in ((64,) if asked.tiny else (512, 4096))
            ]
            for table, rows in parts:
                while time.monotonic() - start < asked.seconds and (row := next(rows, None)):
                    tables[table].append(row)
                    print(row, file=sys.stderr, flush=True)
                if time.monotonic() - start >= asked.seconds:
                    left_out.append(f"{name} {table}")
    print("| LoRA, short chats | batch | useful tokens/s | MFU | allocated MB |\n|---|---|---|---|---|")
    print("\n".join(tables["speed"]))
    print("\n| model | method | tokens a row | checkpointing | estimated MB | allocated MB | error |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(tables["memory"]))
    if left_out:
        print(f"\nno time for all of: {', '.join(left_out)}")


def _tiny() -> Any:
    from transformers import Qwen2Config

    return Qwen2Config(
        vocab_size=4096,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=None,
        eos_token_id=2,
    )


if __name__ == "__main__":
    main()
