"""A stopwatch inside any program that trains with transformers' Trainer, which it changes nothing of.

Put this folder on PYTHONPATH and a file's name into STOPWATCH; the file then says, as JSON, when the first step began
(seconds of CLOCK_MONOTONIC), and how many seconds, CPU-seconds of all threads, steps and useful tokens (no padding)
there were from then to the end of the last step.
"""

import importlib.util
import json
import os
import sys
import time
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any


class _Watch(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != "transformers.trainer":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            _watch(module.Trainer)

        spec.loader.exec_module = exec_module
        return spec


def _watch(trainer: Any) -> None:
    step, loop = trainer.training_step, trainer._inner_training_loop
    seen = {"steps": 0}
    counts = []  # of tokens, each a tensor: added up after the clock has stopped

    def training_step(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if not seen["steps"]:
            seen["started"], seen["cpu"] = time.monotonic(), time.process_time()
        seen["steps"] += 1
        counts.append((inputs["input_ids"] != self.processing_class.pad_token_id).sum())
        return step(self, model, inputs, *args, **kwargs)

    def _inner_training_loop(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = loop(self, *args, **kwargs)
        seconds, cpu = time.monotonic() - seen["started"], time.process_time() - seen["cpu"]
        record = {"started": seen["started"], "seconds": seconds, "cpu": cpu, "steps": seen["steps"]}
        Path(os.environ["STOPWATCH"]).write_text(json.dumps({**record, "tokens": int(sum(counts))}))
        return found

    trainer.training_step, trainer._inner_training_loop = training_step, _inner_training_loop


if os.environ.get("STOPWATCH"):
    sys.meta_path.insert(0, _Watch())
