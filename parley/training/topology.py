"""Strategies: over which processes training is spread, how they are started, and the proof that they are so.

`single` is this process alone. `ddp`, `fsdp2` and DeepSpeed's (a file in recipes/deepspeed, by its stem or path)
run the train stage once in each process, started by torchrun's own launcher; whoever starts torchrun by hand, over
several machines, is left to it. accelerate runs one process, or plain DDP in FSDP2's place, and says nothing:
therefore `prove`. torch is imported inside functions.
"""

import ctypes
import importlib.util
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from parley.errors import ParleyError, near_misses

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

DEEPSPEED = Path("recipes/deepspeed")
_SAVING = 600  # seconds that processes have for their last checkpoint after a signal


def deepspeed_file(root: Path, strategy: str) -> Path | None:
    """The DeepSpeed settings that `strategy` names, or None for single, ddp and fsdp2.

    Raises ParleyError for another file or name: only recipes/deepspeed is what DVC sees changes in.
    """
    if strategy in ("single", "ddp", "fsdp2"):
        return None
    path = DEEPSPEED / f"{strategy}.json" if "/" not in strategy else Path(strategy)
    known = sorted(file.stem for file in (root / DEEPSPEED).glob("*.json"))
    if path.parent != DEEPSPEED or not (root / path).is_file():
        misses = near_misses(strategy, ["single", "ddp", "fsdp2", *known])
        raise ParleyError(
            f"params.yaml: train.strategy: {strategy!r} is none of single, ddp, fsdp2, {', '.join(known)}{misses}\n"
            f"Settings of your own go into {DEEPSPEED}/NAME.json, where DVC sees their changes"
        )
    try:
        json.loads((root / path).read_bytes())
    except ValueError as error:
        raise ParleyError(f"{path}: not JSON: {error}") from None
    return root / path


def check_strategy(root: Path, strategy: str, processes: int, *, quantization: str) -> None:
    """Raises ParleyError for a strategy that cannot run here, before anything is started."""
    file = deepspeed_file(root, strategy)
    if strategy == "single":
        if processes != 1:
            raise ParleyError(
                f"params.yaml: train.processes is {processes}, train.strategy single is one process: take ddp, fsdp2 "
                "or a DeepSpeed strategy, or set train.processes: 1"
            )
        return
    if file and importlib.util.find_spec("deepspeed") is None:
        raise ParleyError(
            f"params.yaml: train.strategy {strategy} needs DeepSpeed, which is not among the locked packages: "
            "`.venv/bin/pip install deepspeed==0.19.8`, or take fsdp2 or ddp"
        )
    if quantization == "nf4" and (strategy == "fsdp2" or (file and _zero_stage(file) == 3)):
        raise ParleyError(f"params.yaml: train.strategy {strategy} cannot cut 4-bit weights: take ddp, or no nf4")
    import torch

    gpus = torch.cuda.device_count()
    if gpus == 0 and file:
        raise ParleyError(
            f"params.yaml: train.strategy {strategy} needs a GPU; without one there is single, ddp or fsdp2"
        )
    if 0 < gpus < processes and not launched():
        raise ParleyError(
            f"params.yaml: train.processes is {processes}, this machine has {gpus} GPUs: lower it, or start torchrun "
            "on each machine yourself (docs/scale.md)"
        )


def _zero_stage(file: Path) -> int:
    return int(json.loads(file.read_bytes()).get("zero_optimization", {}).get("stage", 0))


def sharded(root: Path, strategy: str) -> bool:
    """Whether no process holds the whole weights."""
    file = deepspeed_file(root, strategy)
    return strategy == "fsdp2" or (file is not None and _zero_stage(file) == 3)


def settings(root: Path, strategy: str) -> dict[str, Any]:
    """Fields of SFTConfig for a strategy."""
    if strategy == "fsdp2":
        return {"fsdp": True, "fsdp_config": {"version": 2, "state_dict_type": "FULL_STATE_DICT"}}
    if strategy == "ddp":
        return {"ddp_find_unused_parameters": False}  # every trained weight is used in every pass
    file = deepspeed_file(root, strategy)
    return {"deepspeed": str(file)} if file else {}


def launched() -> bool:
    """Whether torchrun started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def rank() -> int:
    """This process's number among all; 0 prints, saves and publishes."""
    return int(os.environ.get("RANK", "0"))


def launch(module: str, processes: int) -> NoReturn:
    """Runs `python -m module` in so many processes on this machine, and ends as they end."""
    import logging

    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # Its own words for a failure would bury ours.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id="parley",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.2,
        shutdown_timeout=_SAVING,
    )
    try:
        elastic_launch(config, sys.executable)("-m", module)
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        code = failure.exitcode
        if code < 0:
            raise ParleyError(f"process {number} of {processes} was killed by signal {-code}") from None
        sys.exit(code)
    except SignalException as error:
        sys.exit(128 + error.sigval)
    sys.exit(0)


def end_with_launcher() -> None:
    """Has this process saved and stopped when its launcher is killed, which else would train on unseen."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def admit_fsdp2(strategy: str) -> None:
    """Has accelerate cut weights up over processes on a CPU too: torch can, accelerate would run plain DDP.

    To be called after SFTConfig, which starts the processes' group, and before the trainer.
    """
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    if strategy == "fsdp2" and PartialState().distributed_type == DistributedType.MULTI_CPU:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def prove(accelerator: "Accelerator", strategy: str, processes: int) -> None:
    """Raises ParleyError unless what runs is what was asked for."""
    kind = accelerator.distributed_type.value
    wanted = {"single": ("NO",), "ddp": ("MULTI_CPU", "MULTI_GPU"), "fsdp2": ("FSDP",)}.get(strategy, ("DEEPSPEED",))
    fsdp1 = strategy == "fsdp2" and kind == "FSDP" and not accelerator.is_fsdp2
    if accelerator.num_processes != processes or kind not in wanted or fsdp1:
        raise ParleyError(
            f"train.strategy {strategy} over {processes} processes was asked for; what runs is {kind} over "
            f"{accelerator.num_processes}: start it with `dvc repro`, or torchrun with --nproc-per-node "
            "(times --nnodes) equal to train.processes"
        )


def prove_cut(model: "torch.nn.Module") -> None:
    """Raises ParleyError unless each process holds a piece of each trained weight, as FSDP2 has it."""
    from torch.distributed.tensor import DTensor

    whole = [name for name, part in model.named_parameters() if part.requires_grad and not isinstance(part, DTensor)]
    if whole:
        raise ParleyError(f"train.strategy fsdp2: {len(whole)} weights are whole in every process, {whole[0]} first")


def from_first(value: Any) -> Any:
    """The first process's `value`, in every process."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]
