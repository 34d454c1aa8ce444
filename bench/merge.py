"""Peak memory and seconds of folding an adapter into a 1.1 B base in bf16 with random weights, and of merge as a whole.

    python -m bench.merge [--model TinyLlama-1.1B]

The base is written first, in shards of 1 GB, and an adapter of rank 16 on every linear layer. Folding runs in a process
of its own; its peak is the largest resident set that the kernel saw, mapped files included. The bound is two shards
and 1 GB.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.memory import measured
from parley.modeling.model_shapes import config_of
from parley.training.folding import SHARD

MAKE = """
import sys, torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
from parley.modeling.model_shapes import config_of
torch.set_default_dtype(torch.bfloat16)
model = AutoModelForCausalLM.from_config(config_of(sys.argv[1]))
model.save_pretrained(sys.argv[2], max_shard_size="1GB")
tuned = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear", init_lora_weights=False))
tuned.save_pretrained(sys.argv[3])
"""
FOLD = """
import sys
from pathlib import Path
from parley.training.folding import fold
base, adapter, made = map(Path, sys.argv[1:4])
made.mkdir()
assert fold(base, adapter, made, dtype=None, quantized=sys.argv[4] == "nf4")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="TinyLlama-1.1B")
    asked = parser.parse_args()
    config_of(asked.model)
    bound = 2 * SHARD / 1e6 + 1000
    print(f"| {asked.model}, bf16 | seconds | peak MB | bound MB |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        base, adapter = str(place / "base"), str(place / "adapter")
        subprocess.run([sys.executable, "-c", MAKE, asked.model, base, adapter], check=True, capture_output=True)
        for name in ("none", "nf4"):
            command = [sys.executable, "-c", FOLD, base, adapter, str(place / name), name]
            seconds, found = measured(command, Path.cwd(), OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")
            label = "LoRA" if name == "none" else "QLoRA (through 4 bits)"
            print(f"| {label} | {seconds:.1f} | {found:.0f} | {bound:.0f} |", flush=True)


if __name__ == "__main__":
    main()
