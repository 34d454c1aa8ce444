"""make memory [MODEL=name-or-folder]: whether training fits this device, and the settings that do.

    python -m tools.memory [MODEL] [--device cpu|cuda] [--gb 24]

From the model's config alone: no weights, no network. MODEL is a folder, a Hub model that is in the local cache, or
one of the well-known ones in parley/modeling/known_models.yaml; without it, the base model of params.yaml.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from parley.errors import ParleyError
from parley.modeling.model_shapes import Shape, config_of, known_models, shape_of
from parley.modeling.models import Model, pick_device, quiet, read_base, room_on
from parley.params import read_section
from parley.training.memory import GB, Run, estimate, fitting, generation, largest_batch, settings
from parley.training.sft import Train, choose_precision
from stages.encode import Encode
from stages.generate import Generate
from tools import told

CARDS = (8, 16, 24, 40, 80)  # GB
TOKENS = 2048  # of a row in the table


def main(root: Path, given: argparse.Namespace) -> None:
    quiet()
    params = read_section(root, "train", Train)
    encode = read_section(root, "encode", Encode)
    generate = read_section(root, "generate", Generate)
    name = given.model or _base(root)
    here = pick_device().type
    device = given.device or here
    if device == "cuda" != here and not given.gb:
        raise ParleyError("--device cuda: there is no GPU here to ask: say how much memory it has, such as --gb 24")
    room = round(given.gb * GB) if given.gb else room_on(device)
    shape = shape_of(config_of(name))
    run = Run(
        mode=params.mode,
        quantization=params.quantization,
        precision=choose_precision(params) if given.device is None else "bf16",
        device=device,
        batch_size=params.batch_size,
        tokens=encode.max_length,
        trained=1.0,  # at most; known once the data are encoded
        accumulation=params.accumulation,
        rank=params.lora.r,
        dropout=params.lora.dropout > 0,
        checkpointing=params.checkpointing == "on",
    )
    print("\n".join(report(name, shape, run, room, auto=params.checkpointing == "auto")))
    wide = 2 if device == "cuda" else 4
    length = encode.max_length + generate.max_new_tokens
    cases = generation(shape, batch_size=generate.batch_size, length=length, width=wide)
    print(f"generate: about {cases / GB:.1f} GB for {generate.batch_size} cases of {length} tokens at once")


def _base(root: Path) -> str:
    """models/base when it is the one of params.yaml, else that one's name."""
    model = read_section(root, "model", Model)
    made = root / "models/base"
    if (made / "base.json").is_file() and read_base(made).name == model.name:
        return str(made)
    if model.name == "parley-tiny":
        raise ParleyError("the embedded base is not made yet: `dvc repro base` makes it; or name a model: MODEL=...")
    return model.name


def report(name: str, shape: Shape, run: Run, room: int, *, auto: bool) -> Iterator[str]:
    """The parts, the verdict, and the settings that fit."""
    found = estimate(shape, run)
    if auto and found.peak > room:
        run = replace(run, checkpointing=True)
        found = estimate(shape, run)
    method = "QLoRA" if run.quantization == "nf4" else {"lora": "LoRA", "full": "full"}[run.mode]
    yield f"{name}: {shape.parameters / 1e6:,.1f} million parameters; {method}, {run.precision} on {run.device},"
    yield f"{run.batch_size} rows of {run.tokens} tokens, checkpointing {'on' if run.checkpointing else 'off'}"
    for part, size in found.parts.items():
        yield f"  {part:<26}{size / GB:8.2f} GB"
    yield f"  {'peak':<26}{found.peak / GB:8.2f} GB (gradients come as activations go)"
    yield f"{'fits' if found.peak <= room else 'does not fit'}: the device has {room / GB:.1f} GB"
    largest = largest_batch(shape, run, room)
    if largest > run.batch_size:
        yield f"room for train.batch_size: {largest} as it is"
    elif found.peak > room:
        best = fitting(shape, run, room)
        yield f"this fits: {settings(best, run)}" if best else "no setting of train makes it fit: take a smaller base"


def table() -> Iterator[str]:
    """Largest batch of rows of 2,048 tokens on a GPU of each size, for the well-known models; docs/memory.md has it."""
    yield f"| model | method | {' | '.join(f'{size} GB' for size in CARDS)} |"
    yield f"|---|---|{'---|' * len(CARDS)}"
    for name in known_models():
        shape = shape_of(config_of(name))
        for label, mode, quantization in (("LoRA", "lora", "none"), ("QLoRA", "lora", "nf4"), ("full", "full", "none")):
            run = Run(mode, quantization, "bf16", "cuda", 1, TOKENS, 0.5, 1, 16, False, False)
            yield f"| {name} | {label} | {' | '.join(_cells(shape, run))} |"


def _cells(shape: Shape, run: Run) -> Sequence[str]:
    cells = []
    for size in CARDS:
        plain, saving = (largest_batch(shape, replace(run, checkpointing=on), size * GB) for on in (False, True))
        cells.append(f"{plain or '–'} / {saving or '–'}" if saving else "–")
    return cells


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make memory", description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?", default="", help="folder, cached Hub id or well-known name")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="estimate for this kind of device")
    parser.add_argument("--gb", type=float, default=0.0, help="memory of the device, in GB")
    return parser.parse_args()


if __name__ == "__main__":
    asked = arguments()
    with told("memory"):
        main(Path(), asked)
