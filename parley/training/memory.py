"""How much memory a training run needs, from the model's config alone; what to change when it does not fit.

Bytes are added up by part (weights, gradients, optimizer, activations, logits, the rest). The constants of the
activations were found by counting what autograd keeps of a Llama layer, as parley trains it: bench/results/memory.md.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from parley.encoding.examples import Example
from parley.encoding.packing import IGNORED
from parley.errors import ParleyError
from parley.modeling.model_shapes import Shape, config_of, shape_of
from parley.modeling.models import Model, pick_device, room_on
from parley.training.sft import Train

GB = 10**9
PLAIN_HEAD_LOGITS = 2**28  # trained tokens x vocabulary in one pass; above, TRL's fused head needs a tile of them only
_NF4 = 0.516  # bytes a weight: 4 bits, and the scales of each 64 weights, themselves in 8 bits


@dataclass(frozen=True, slots=True)
class Run:
    """What memory depends on in a training run."""

    mode: str  # lora or full
    quantization: str  # none or nf4
    precision: str  # bf16, fp16 or fp32
    device: str  # cuda or cpu
    batch_size: int
    tokens: int  # in each row of a batch, packed or padded
    trained: float  # share of the tokens that is trained, so that logits are made for it
    accumulation: int
    rank: int
    dropout: bool  # in the adapter
    checkpointing: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes by part, and at the peak of a step."""

    parts: dict[str, int]
    allocated: int  # what torch.cuda.max_memory_allocated would say
    peak: int  # what the device must have


def estimate(shape: Shape, run: Run) -> Estimate:
    """What a training step takes, once the optimizer has its state."""
    half = run.precision != "fp32"
    adapter = shape.adapter * run.rank if run.mode == "lora" else 0
    trained = adapter or shape.parameters
    copies = 2 * shape.parameters if half else 0  # autocast's, of 32-bit weights; kept until backward used them
    if run.quantization == "nf4":
        base, copies = round(_NF4 * shape.linear) + 4 * (shape.parameters - shape.linear), 0
    elif run.mode == "lora" and run.device == "cuda" and half:
        base, copies = 2 * shape.parameters, 0
    else:
        base = 4 * shape.parameters
    tokens = run.batch_size * run.tokens
    layer = tokens * _layer(shape, run)
    activations = layer * shape.layers
    if run.checkpointing:
        activations = layer + tokens * shape.layers * shape.hidden * (4 if base == 4 * shape.parameters else 2)
        copies //= shape.layers
    numbers = min(round(tokens * run.trained) * shape.vocabulary, PLAIN_HEAD_LOGITS)
    parts = {
        "weights": base + 4 * adapter,
        "optimizer": 8 * trained,
        "gradients": 4 * trained,
        "16-bit copies of weights": copies,
        "activations": activations,
        "logits": 12 * numbers,  # log-softmax, its gradient and one more, each in 32 bits
    }
    passing = copies + activations + parts["logits"]
    # Backward frees these while it makes gradients; those of an earlier pass are there from the start.
    last = max(passing, parts["gradients"]) if run.accumulation == 1 else passing + parts["gradients"]
    allocated = parts["weights"] + parts["optimizer"] + last
    # On a CPU the pages of the weights' file count too: the kernel keeps them mapped.
    rest = 0.8 * GB + 0.06 * passing if run.device == "cuda" else 0.7 * GB + 4 * shape.parameters
    parts["CUDA context and gaps" if run.device == "cuda" else "libraries, weights' file"] = round(rest)
    return Estimate(parts, allocated, allocated + round(rest))


def _layer(shape: Shape, run: Run) -> int:
    """Bytes that one layer keeps of one token for the backward pass."""
    h, k, i = shape.hidden, shape.keys, shape.mlp
    narrow = run.precision != "fp32"
    if run.mode == "full":
        kept = 30 * h + 4 * k + 8 * i if narrow else 32 * h + 8 * k + 16 * i
    else:
        kept = 24 * h + 4 * k + 8 * i if narrow else 24 * h + 8 * k + 16 * i
        kept += (14 if narrow else 28) * run.rank
        if run.dropout:
            kept += 24 * h + 4 * i if narrow else 40 * h + 4 * i
    if run.device == "cpu" and narrow:
        kept += 2 * shape.heads * min(run.tokens, 512)  # parley.training.attention keeps the softmax of short examples
    return kept


def generation(shape: Shape, *, batch_size: int, length: int, width: int) -> int:
    """Bytes to generate: weights of `width` bytes, keys and values of every token, the last position's logits."""
    cache = 2 * shape.layers * shape.keys * width * batch_size * length
    return width * shape.parameters + cache + 4 * batch_size * shape.vocabulary


def fitting(shape: Shape, run: Run, room: int) -> Run | None:
    """The first run that fits into `room` bytes: smaller batches, then checkpointing, 4 bits, shorter rows."""
    return next((other for other in _easier(run) if estimate(shape, other).peak <= room), None)


def _easier(run: Run) -> Iterator[Run]:
    shorter = run.tokens
    while shorter == run.tokens or shorter >= 256:
        for quantization in dict.fromkeys([run.quantization, "nf4" if run.mode == "lora" else "none"]):
            for checkpointing in dict.fromkeys([run.checkpointing, True]):
                size, times = run.batch_size, run.accumulation
                while size:
                    yield replace(
                        run,
                        tokens=shorter,
                        quantization=quantization,
                        checkpointing=checkpointing,
                        batch_size=size,
                        accumulation=times,
                    )
                    size, times = size // 2, times * 2
        shorter //= 2


def largest_batch(shape: Shape, run: Run, room: int) -> int:
    """The largest batch_size that fits into `room` bytes, 0 if none."""
    fits, above = 0, 1
    while above <= 4096 and estimate(shape, replace(run, batch_size=above)).peak <= room:
        fits, above = above, above * 2
    while above - fits > 1:
        middle = (fits + above) // 2
        fits, above = (
            (middle, above) if estimate(shape, replace(run, batch_size=middle)).peak <= room else (fits, middle)
        )
    return fits


@dataclass(frozen=True, slots=True)
class Need:
    """What a run takes of its device."""

    shape: Shape
    run: Run
    room: int  # bytes of the device

    @property
    def estimate(self) -> Estimate:
        return estimate(self.shape, self.run)

    def advice(self) -> str:
        """What a user reads when a run does not fit: the estimate, and the knobs in order."""
        found = fitting(self.shape, self.run, self.room)
        asked = found and settings(found, self.run)
        way = f"This fits, says the estimate: {asked}. " if asked else "" if found else "None makes it fit here. "
        return (
            f"about {self.estimate.peak / GB:.1f} GB are needed, the device has {self.room / GB:.1f} GB. In this "
            'order: lower train.batch_size and raise train.accumulation as much; set train.checkpointing: "on"; '
            f"lower encode.max_length. {way}`make memory` shows the parts"
        )


def planned(need: Need, checkpointing: str) -> Need:
    """With checkpointing `on`, `off`, or at `auto` only if the run does not fit without.

    Raises ParleyError if it does not fit.
    """
    need = replace(need, run=replace(need.run, checkpointing=checkpointing == "on"))
    if checkpointing == "auto" and need.estimate.peak > need.room:
        need = replace(need, run=replace(need.run, checkpointing=True))
    if need.estimate.peak > need.room:
        raise ParleyError(f"training would not fit: {need.advice()}")
    return need


def of_training(
    base: Path, model: Model, params: Train, *, precision: str, examples: Sequence[Example], refuse: bool
) -> Need:
    """What training takes, with checkpointing decided before any weight is loaded.

    base: models/base. refuse: raises ParleyError for what this device cannot hold; else (a model that is cut up over
    several) checkpointing is only what params.yaml says.
    """
    trusted = model.trust_remote_code
    tokens = sum(len(example.input_ids) for example in examples)
    device = pick_device().type
    run = Run(
        mode=params.mode,
        quantization=params.quantization,
        precision=precision,
        device=device,
        batch_size=params.batch_size,
        tokens=max((len(example.input_ids) for example in examples), default=0),  # a packed row's too
        trained=sum(label != IGNORED for example in examples for label in example.labels) / max(tokens, 1),
        accumulation=params.accumulation,
        rank=params.lora.r,
        dropout=params.lora.dropout > 0,
        checkpointing=params.checkpointing == "on",
    )
    shape = shape_of(config_of(str(base), trust_remote_code=trusted), trust_remote_code=trusted)
    need = Need(shape, run, room_on(device))
    return planned(need, params.checkpointing) if refuse else need


def out_of_memory(error: RuntimeError) -> bool:
    """Whether torch could not get memory: for a CPU it has no class of its own."""
    return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)


def settings(run: Run, asked: Run) -> str:
    """What of `run` differs from `asked`, as keys of params.yaml."""
    keys = {
        "batch_size": "train.batch_size",
        "accumulation": "train.accumulation",
        "checkpointing": "train.checkpointing",
        "quantization": "train.quantization",
        "tokens": "encode.max_length",
    }
    changed = [name for name in keys if getattr(run, name) != getattr(asked, name)]
    said = {True: '"on"', False: '"off"'}
    return ", ".join(f"{keys[n]}: {said.get(v, v) if isinstance(v := getattr(run, n), bool) else v}" for n in changed)
