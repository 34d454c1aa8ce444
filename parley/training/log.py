"""How a training run tells how far it is: a bar on a terminal, lines elsewhere, and always a log file to tail.

transformers is imported with this module.
"""

import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from parley.progress import Bar


def memory_mb() -> float:
    """Most memory in use so far, in MB: the GPU's, or this process's where there is none."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Progress(TrainerCallback):
    """A line every `every` steps, with loss, tokens/s, memory and time left: to `log`, and to stderr without a bar.

    newest: gives the journal's entry of the step that has just ended.
    """

    def __init__(self, newest: Callable[[], Mapping[str, Any]], every: int, log: Path) -> None:
        self.newest, self.every, self.log = newest, every, log
        self.bar: Bar | None = None
        self.start = self.first = self.tokens = 0.0

    def say(self, line: str) -> None:
        """Writes a line with the time of day into the log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as handle:
            handle.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {line}\n")

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.start, self.first = time.monotonic(), state.global_step
        self.say(f"step {state.global_step} of {state.max_steps}: training begins")
        if sys.stderr.isatty():
            self.bar = Bar("train", state.max_steps, "steps", done=state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        step = self.newest()
        self.tokens += step["tokens"]
        seconds = max(time.monotonic() - self.start, 1e-9)
        if self.bar is not None:
            self.bar.advance(note=f"loss {step['loss']:.3f}, {self.tokens / seconds:,.0f} tokens/s")
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            left = seconds / (state.global_step - self.first) * (state.max_steps - state.global_step)
            line = (
                f"step {state.global_step}/{state.max_steps}, loss {step['loss']:.3f}, "
                f"{self.tokens / seconds:,.0f} tokens/s, {memory_mb():,.0f} MB at most, {left / 60:.1f} min left"
            )
            self.say(line)
            if self.bar is None:
                print(f"train: {line}", file=sys.stderr, flush=True)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.say(f"step {state.global_step}: training ends")
        if self.bar is not None:
            self.bar.close()
