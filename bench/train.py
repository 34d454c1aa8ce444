"""Useful tokens per CPU-second and start-up of parley's train stage, the bare loop and the peers, in turns.

    python -m bench.train [--modes lora full] [--vocabulary 4096] [--pairs 5] [--peers DIR] [--threads 1]

Every program trains the same model (a small Llama with random weights) on the same generated chats with the same
adapter, each as its users start it, in a process of its own: `python -m stages.train`, `python -m bench.bare_loop`,
`trl sft` with its defaults, and LLaMA-Factory tuned (neat_packing, bf16, no checkpointing) from the environment
--peers. Useful tokens are those that are no padding. bench/stopwatch times the steps from inside the process; the
start-up is from the start of the process to the first step. Ratios are made within a round; the interval is
Student's t over the rounds. CPU-seconds, because they hold on a machine with other work; --wall takes seconds.
"""

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import t

from bench.bare_loop import BATCH_ROWS
from parley.params import read_yaml

ROOT = Path(__file__).resolve().parent.parent
LR = 1e-4


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run gave."""

    rate: float  # useful tokens per (CPU-)second
    startup: float  # seconds
    tokens: int


def chats(count: int) -> list[dict[str, Any]]:
    """Conversations of generated words, as long as chats are: about 150 tokens in the median, 500 at most."""
    draw = random.Random(1)
    words = ["".join(draw.choice("aeioulnrst") for _ in range(draw.randrange(2, 8))) for _ in range(3000)]
    weights = [1 / (rank + 5) for rank in range(len(words))]
    found = []
    for _ in range(count):
        turns = []
        for number in range(2 * draw.randrange(1, 11)):
            length = max(1, min(60, round(draw.lognormvariate(2.2, 0.7))))
            role = "assistant" if number % 2 else "user"
            turns.append({"role": role, "content": " ".join(draw.choices(words, weights, k=length))})
        found.append({"messages": turns})
    return found


def prepare_base(work: Path, config: Any, *, device: Any = "cpu", kind: str = "local") -> Any:
    """Random weights of a config in work/model, and models/base that names them; the tokenizer.

    kind "hub" leaves the sums of the weights out, which take longer than a step on large models.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    from parley.modeling.models import Base, weight_sums, write_base

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(vocab_size=4096, special_tokens=special, show_progress=False)
    inner.train_from_iterator((turn["content"] for row in chats(200) for turn in row["messages"]), trainer)
    template = (ROOT / "parley/templates/chatml.jinja").read_text()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token=special[0], eos_token=special[2], chat_template=template
    )
    config.bos_token_id, config.eos_token_id, config.pad_token_id = None, 2, 0
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if kind == "local" else torch.bfloat16)
    with torch.device(device):
        AutoModelForCausalLM.from_config(config).save_pretrained(work / "model")
    torch.set_default_dtype(before)
    for folder in ("model", "models/base"):
        tokenizer.save_pretrained(work / folder)
    sums = weight_sums(work / "model") if kind == "local" else {}
    write_base(work / "models/base", Base("bench", kind, str(work / "model"), "", "own", sums))
    return tokenizer


def write_chats(work: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """The conversations as the peers read them."""
    (work / "chats").mkdir()
    (work / "chats/train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def prepare(work: Path, *, count: int, vocabulary: int, threads: int, hidden: int = 256, layers: int = 6) -> None:
    """Model, data in the shape of each program, and the rows that parley packs."""
    from transformers import LlamaConfig

    from parley.encoding.examples import Example, write_examples
    from parley.encoding.packing import best_fit
    from parley.modeling.models import computes_bf16

    rows = chats(count)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
    )
    tokenizer = prepare_base(work, config)
    examples = []
    for number, row in enumerate(rows):
        found = tokenizer.apply_chat_template(
            row["messages"], return_dict=True, return_assistant_tokens_mask=True, tokenize=True
        )
        ids, mask = found["input_ids"], found["assistant_masks"]
        labels = [token if trained else -100 for token, trained in zip(ids, mask, strict=True)]
        examples.append(Example(f"c{number}", ids, labels))
    write_examples(work / "data/encoded/train.parquet", examples)
    write_examples(work / "data/encoded/val.parquet", examples[:1])
    lengths = [len(example.input_ids) for example in examples]
    packed = best_fit(lengths, max(lengths))
    with (work / "documents.jsonl").open("w") as file:
        for example in examples:
            file.write(json.dumps({"input_ids": example.input_ids, "labels": example.labels}) + "\n")
    (work / "rows.json").write_text(json.dumps(packed))
    write_chats(work, rows)
    settings = {"threads": threads, "lr": LR, "bf16": computes_bf16(), "longest": max(lengths)}
    (work / "settings.json").write_text(json.dumps(settings))
    steps = math.ceil(len(packed) / BATCH_ROWS)
    print(f"{count} conversations, {sum(lengths)} tokens, {statistics.median(lengths):.0f} in the median and")
    print(f"{max(lengths)} at most; {steps} steps; vocabulary {vocabulary}, {_size(config) / 1e6:.1f} M parameters\n")


def _size(config: Any) -> int:
    import torch
    from transformers import LlamaForCausalLM

    with torch.device("meta"):
        return sum(weight.numel() for weight in LlamaForCausalLM(config).parameters())


def parley(work: Path, mode: str, settings: Mapping[str, Any], **changes: Any) -> tuple[list[str], Path]:
    place = work / f"parley-{mode}"
    for name in ("data/encoded", "models/base"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        if not (place / name).exists():
            (place / name).symlink_to(work / name)
    values = read_yaml(ROOT / "recipes/_base.yaml")
    values["model"] |= {"name": "bench", "threads": settings["threads"]}
    values["train"] |= {"mode": mode, "lr": LR, "epochs": 1, "batch_size": BATCH_ROWS, "accumulation": 1}
    values["train"] |= {"packing": True, "quantization": "none", "weight_decay": 0.0} | changes
    values["train"]["lora"] |= {"r": 8, "alpha": 16, "dropout": 0.0}
    values["runtime"] |= {"save_steps": 0}
    (place / "params.yaml").write_text(json.dumps(values))
    return [sys.executable, "-m", "stages.train"], place


def bare(work: Path, mode: str, settings: Mapping[str, Any]) -> tuple[list[str], Path]:
    return [sys.executable, "-m", "bench.bare_loop", str(work), mode], work


def trl(work: Path, mode: str, settings: Mapping[str, Any]) -> tuple[list[str], Path]:
    """`trl sft` with its defaults, on a third of an epoch: its rate does not change with the number of steps."""
    command = [str(Path(sys.executable).parent / "trl"), "sft", "--model_name_or_path", str(work / "model")]
    command += ["--dataset_name", str(work / "chats"), "--output_dir", str(work / f"trl-{mode}")]
    command += ["--num_train_epochs", "0.34", "--save_strategy", "no", "--report_to", "none"]
    if not settings.get("gpu"):
        command += ["--use_cpu", "True"]  # without it, it refuses to start where there is no GPU
    if mode == "lora":
        command += ["--use_peft", "--lora_target_modules", "all-linear", "--lora_r", "8", "--lora_alpha", "16"]
    return command, work


def llamafactory(work: Path, mode: str, settings: Mapping[str, Any], *, python: Path) -> tuple[list[str], Path]:
    columns = {"messages": "messages"}
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    entry = {"file_name": "train.jsonl", "formatting": "sharegpt", "columns": columns, "tags": tags}
    (work / "chats/dataset_info.json").write_text(json.dumps({"chats": entry}))
    asked = {
        "model_name_or_path": str(work / "model"),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": mode,
        "dataset": "chats",
        "dataset_dir": str(work / "chats"),
        "template": "chatml",
        "cutoff_len": -(-settings["longest"] // 8) * 8,  # LLaMA-Factory 0.9.5 pads to eights and then fails on others
        "neat_packing": True,
        "packing": True,
        "disable_gradient_checkpointing": True,
        "bf16": settings["bf16"],
        "use_cpu": True,
        "per_device_train_batch_size": BATCH_ROWS,
        "gradient_accumulation_steps": 1,
        "learning_rate": LR,
        "num_train_epochs": 1,
        "save_strategy": "no",
        "report_to": "none",
        "output_dir": str(work / f"lf-{mode}"),
        "overwrite_cache": True,
        "overwrite_output_dir": True,
    }
    if mode == "lora":
        asked |= {"lora_rank": 8, "lora_alpha": 16, "lora_target": "all", "lora_dropout": 0.0}
    (work / f"lf-{mode}.yaml").write_text(json.dumps(asked))
    return [str(python.parent / "llamafactory-cli"), "train", str(work / f"lf-{mode}.yaml")], work


def timed(command: Sequence[str], place: Path, threads: int, *, wall: bool, gpu: bool = False) -> Figures:
    """One run, from outside its process and by the stopwatch inside."""
    record = place / "stopwatch.json"
    record.unlink(missing_ok=True)
    environment = {name: text for name, text in os.environ.items() if name != "DVC_ROOT"}
    environment |= {"STOPWATCH": str(record), "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    environment |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    environment |= {} if gpu else {"CUDA_VISIBLE_DEVICES": ""}
    paths = [ROOT / "bench/stopwatch", *([ROOT] if command[0] == sys.executable else [])]
    environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))
    start = time.monotonic()
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or not record.exists():
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    found = json.loads(record.read_text())
    return Figures(found["tokens"] / found["seconds" if wall else "cpu"], found["started"] - start, found["tokens"])


def ratio(values: Sequence[float]) -> str:
    """Geometric mean of the rounds' ratios with its 95 % interval."""
    logs = [math.log(value) for value in values]
    middle = statistics.fmean(logs)
    if len(logs) < 2:
        return f"{math.exp(middle):.2f}"
    wide = float(t.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    return f"{math.exp(middle):.2f} ({math.exp(middle - wide):.2f}–{math.exp(middle + wide):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", nargs="+", default=["lora", "full"], choices=["lora", "full"])
    parser.add_argument("--programs", nargs="+", default=["bare loop", "parley", "trl sft, defaults"])
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=5, help="rounds in which every program runs once")
    parser.add_argument("--peers", type=Path, help="environment with LLaMA-Factory, such as DIR/bin/python's DIR")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--wall", action="store_true", help="rates by seconds, not CPU-seconds")
    asked = parser.parse_args()
    programs = {"bare loop": bare, "parley": parley, "trl sft, defaults": trl}
    programs = {name: program for name, program in programs.items() if name in asked.programs}
    if asked.peers:
        programs["LLaMA-Factory, tuned"] = lambda *given: llamafactory(*given, python=asked.peers / "bin/python")
    unit = "second" if asked.wall else "CPU-second"
    print(f"{asked.threads} threads\n")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(work, count=asked.conversations, vocabulary=asked.vocabulary, threads=asked.threads)
        settings = json.loads((work / "settings.json").read_text())
        for mode in asked.modes:
            runs: dict[str, list[Figures]] = {name: [] for name in programs}
            for turn in range(asked.pairs):
                order = list(programs) if turn % 2 == 0 else list(reversed(programs))
                for name in order:
                    command, place = programs[name](work, mode, settings)
                    runs[name].append(timed(command, place, asked.threads, wall=asked.wall))
                    print(f"{mode} {turn + 1} {name}: {runs[name][-1]}", file=sys.stderr, flush=True)
            _table(mode, runs, unit)


def _table(mode: str, runs: Mapping[str, Sequence[Figures]], unit: str) -> None:
    print(f"| {mode} | useful tokens per {unit}, median | parley's rate is … times it | start-up, s, median |")
    print("|---|---|---|---|")
    own = runs.get("parley")
    for name, found in runs.items():
        times = ratio([a.rate / b.rate for a, b in zip(own, found, strict=True)]) if own and own is not found else ""
        rate, startup = (statistics.median(getattr(run, field) for run in found) for field in ("rate", "startup"))
        print(f"| {name} | {rate:.0f} | {times} | {startup:.1f} |")
    print(flush=True)


if __name__ == "__main__":
    main()
