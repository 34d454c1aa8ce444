"""TRL's SFTTrainer on rows that parley packed: its loop, its loss over trained tokens only, its checkpoints.

What is added: the plain language-model head on trained positions (TRL's fused one recomputes its logits in
tiles, which costs a fifth of a step at small vocabularies), a journal of every step that survives a restart
and knows no logging cadence, the evaluation at each epoch's end, sealed checkpoints, and the stop at the
first number that is not finite. torch, transformers and trl are imported with this module.
"""

import inspect
import math
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import SFTTrainer

from parley.checkpoints import seal
from parley.errors import ParleyError
from parley.examples import Example
from parley.files import read_json, write_json
from parley.packing import IGNORED, flatten

_PLAIN_HEAD_LOGITS = 2**28  # trained tokens x vocabulary in one pass; above, the fused head saves gigabytes


@dataclass(frozen=True, slots=True)
class Rows:
    """Examples and the rows they are packed into."""

    examples: Sequence[Example]
    rows: Sequence[Sequence[int]]  # indices of examples

    def batch(self, rows: Sequence[int]) -> dict[str, Any]:
        """The flattened batch of some rows; `examples` holds the indices, for errors."""
        indices = [index for row in rows for index in self.rows[row]]
        found = [self.examples[index] for index in indices]
        flat = flatten(
            [example.input_ids for example in found],
            [example.labels for example in found],
            [example.weights for example in found],
        )
        return {**flat, "examples": indices}


@dataclass(slots=True)
class Journal:
    """What training writes down; kept in each checkpoint, so that a resumed run's is complete."""

    steps: list[dict[str, Any]] = field(default_factory=list)  # step, loss, lr, grad_norm, tokens, trained_tokens
    evaluations: list[dict[str, Any]] = field(default_factory=list)  # epoch, step, loss, tokens, examples


class PackedTrainer(SFTTrainer):
    """An SFTTrainer over `Rows`; `journal` is filled as it goes."""

    def __init__(self, *, train_rows: Rows, val_rows: Rows, save_steps: int, **options: Any) -> None:
        self.train_rows, self.val_rows, self.save_steps = train_rows, val_rows, save_steps
        self.journal = Journal()
        self.stopped_by: int | None = None  # the signal after which training stopped early
        self._losses: list[torch.Tensor] = []  # of the step under way, as are the next three
        self._examples: list[int] = []
        self._tokens = 0
        self._trained_tokens = 0
        rows = Dataset.from_dict({"row": list(range(len(train_rows.rows)))})
        collate: Callable = lambda batch: train_rows.batch([item["row"] for item in batch])  # noqa: E731
        super().__init__(train_dataset=rows, data_collator=collate, **options)
        base = self.accelerator.unwrap_model(self.model)
        base = base.get_base_model() if hasattr(base, "get_base_model") else base
        takes = inspect.signature(type(base).forward).parameters
        self._plain_head = "logits_to_keep" in takes and not self.aux_loss_enabled and self.args.loss_type == "nll"
        self._plain_head &= self.args.label_smoothing_factor == 0
        self._vocabulary = base.get_input_embeddings().weight.shape[0]
        self.add_callback(_Flow(self))

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Mean nats/token over the trained tokens of the whole step (nats of the batch when evaluating)."""
        given = {name: part for name, part in inputs.items() if name not in ("examples", "labels", "weights")}
        targets = inputs["labels"][0, 1:]
        at = (targets != IGNORED).nonzero().flatten()
        weights = inputs["weights"][0, 1:][at] if "weights" in inputs else None
        fits = len(at) * self._vocabulary <= _PLAIN_HEAD_LOGITS
        if weights is None and not (self._plain_head and fits):
            given["labels"] = inputs["labels"]
            return super().compute_loss(model, given, num_items_in_batch=num_items_in_batch)
        logits = model(**given, use_cache=False, logits_to_keep=at).logits[0]
        if weights is None:
            loss = cross_entropy(logits.float(), targets[at], reduction="sum")
        else:
            loss = weighted_nats(logits.float(), targets[at], weights).sum()
        return loss / (len(at) if num_items_in_batch is None else num_items_in_batch)

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        self._examples += inputs["examples"]
        self._tokens += inputs["input_ids"].numel()
        self._trained_tokens += int((inputs["labels"] != IGNORED).sum())
        loss = super().training_step(model, inputs, *args, **kwargs)
        self._losses.append(loss)
        return loss

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        """The last call before each optimizer step: writes the step down, or stops it."""
        norm = super()._get_grad_norm(model, grad_norm)
        loss, size = float(sum(self._losses)), float(norm)
        scaled = self.args.fp16  # loss scaling finds its scale through overflows, and skips those steps
        step = self.state.global_step + 1
        if not math.isfinite(loss) or not (math.isfinite(size) or scaled):
            names = ", ".join(self.train_rows.examples[index].id for index in self._examples[:20])
            more = f" and {len(self._examples) - 20} more" if len(self._examples) > 20 else ""
            raise ParleyError(
                f"step {step}: loss {loss}, gradient norm {size}: not finite, nothing is published. "
                f"Examples of this step: {names}{more}. Lower train.lr, or look at these rows"
            )
        self.journal.steps.append(
            {
                "step": step,
                "loss": loss,
                "lr": self._get_learning_rate(),
                "grad_norm": size if math.isfinite(size) else None,
                "tokens": self._tokens,
                "trained_tokens": self._trained_tokens,
            }
        )
        self._losses, self._examples, self._tokens, self._trained_tokens = [], [], 0, 0
        return norm

    def evaluate_epoch(self) -> None:
        """Writes down the mean nats/token over the validation split. Draws no random number."""
        model, rows = self.model_wrapped, self.val_rows
        size = self.args.per_device_train_batch_size
        total, tokens = 0.0, 0
        model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            for start in range(0, len(rows.rows), size):
                inputs = self._prepare_inputs(rows.batch(range(start, min(start + size, len(rows.rows)))))
                total += float(self.compute_loss(model, inputs, num_items_in_batch=1))
                tokens += int((inputs["labels"] != IGNORED).sum())
        model.train()
        self._metrics["eval"].clear()
        self.journal.evaluations.append(
            {
                "epoch": round(self.state.epoch or 0.0, 6),
                "step": self.state.global_step,
                "loss": total / tokens if tokens else None,
                "tokens": tokens,
                "examples": len(rows.examples),
            }
        )

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """The weights of a checkpoint: no tokenizer, no pickled arguments, and no question to the Hub."""
        adapter = {} if not hasattr(self.model, "peft_config") else {"save_embedding_layers": False}
        self.model.save_pretrained(output_dir or self.args.output_dir, state_dict=state_dict, **adapter)

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            Trainer._save_checkpoint(self, model, trial)  # TRL's own adds a model card
            journal = {"steps": self.journal.steps, "evaluations": self.journal.evaluations}
            write_json(folder / "journal.json", journal)
            seal(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def run(self, checkpoint: Path | None) -> None:
        """Trains, from a sealed checkpoint or from the start; `stopped_by` tells of a signal that ended it."""
        if checkpoint is not None:
            journal = read_json(checkpoint / "journal.json")
            self.journal = Journal(journal["steps"], journal["evaluations"])
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: object) -> None:
        """The first signal saves at the end of this step; the second one stops at once."""
        if self.stopped_by is not None:
            sys.exit(128 + number)
        self.stopped_by = number
        print("\ntrain: stopping after this step, with a checkpoint", file=sys.stderr)


def weighted_nats(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Each token's loss times its weight (n,): -log p where the weight is positive, -log(1 - p) where it is negative.

    The second is unlikelihood (https://arxiv.org/abs/1908.04319); with both it is binary cross-entropy on p.
    """
    at = targets[:, None]
    whole = logits.logsumexp(-1)
    own, others = logits.gather(1, at)[:, 0], logits.scatter(1, at, -torch.inf).logsumexp(-1)  # 1 - p without rounding
    return weights.abs() * (whole - torch.where(weights < 0, others, own))


class _Flow(TrainerCallback):
    """When to evaluate, to save and to stop. At a step's end, so that a checkpoint holds its epoch's evaluation."""

    def __init__(self, trainer: PackedTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not self.trainer.journal.evaluations:
            self.trainer.evaluate_epoch()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        last = state.global_step >= state.max_steps
        if last or float(state.epoch or 0.0).is_integer():
            self.trainer.evaluate_epoch()
        if self.trainer.stopped_by is not None and not last:
            control.should_training_stop = control.should_save = True
        elif self.trainer.save_steps and state.global_step % self.trainer.save_steps == 0 and not last:
            control.should_save = True


class Progress(TrainerCallback):
    """A bar on a terminal, else a line every `every` steps: loss, tokens/s, time left."""

    def __init__(self, trainer: PackedTrainer, every: int) -> None:
        self.trainer, self.every = trainer, every
        self.bar: tqdm | None = None
        self.start = self.first = self.tokens = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.start, self.first = time.monotonic(), state.global_step
        if sys.stderr.isatty():
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="train", unit="step")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        step = self.trainer.journal.steps[-1]
        self.tokens += step["tokens"]
        seconds = max(time.monotonic() - self.start, 1e-9)
        if self.bar is not None:
            self.bar.update()
            self.bar.set_postfix_str(f"loss {step['loss']:.3f}, {self.tokens / seconds:,.0f} tokens/s")
        elif state.global_step % self.every == 0 or state.global_step == state.max_steps:
            left = seconds / (state.global_step - self.first) * (state.max_steps - state.global_step)
            print(
                f"train: step {state.global_step}/{state.max_steps}, loss {step['loss']:.3f}, "
                f"{self.tokens / seconds:,.0f} tokens/s, {left / 60:.1f} min left",
                file=sys.stderr,
                flush=True,
            )

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.bar is not None:
            self.bar.close()
