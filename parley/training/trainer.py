"""TRL's SFTTrainer on rows that parley packed: its loop, its loss over trained tokens only, its checkpoints.

What is added: the plain language-model head on trained positions (TRL's fused one recomputes its logits in
tiles, which costs a fifth of a step at small vocabularies), a journal of every step that survives a restart
and knows no logging cadence, what happens at each epoch's end, sealed checkpoints, and the stop at the
first number that is not finite. torch, transformers and trl are imported with this module.
"""

import inspect
import math
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import SFTTrainer

from parley.encoding.packing import IGNORED
from parley.errors import ParleyError
from parley.files import link_tree, read_json, write_json
from parley.training.checkpoints import seal
from parley.training.journal import Epochs, Journal
from parley.training.memory import PLAIN_HEAD_LOGITS
from parley.training.rows import Rows
from parley.training.topology import prove_cut


def _held(weight: torch.Tensor) -> torch.Tensor:
    """The part of a weight that this process holds: DeepSpeed and FSDP2 cut weights up, each in its way."""
    return getattr(weight, "ds_tensor", getattr(weight, "_local_tensor", weight))


class PackedTrainer(SFTTrainer):
    """An SFTTrainer over `Rows`; `journal` is filled as it goes, `kept` holds the weights of epochs 1, 2 …"""

    def __init__(self, *, train_rows: Rows, val_rows: Rows, save_steps: int, epochs: Epochs, **options: Any) -> None:
        self.train_rows, self.val_rows, self.save_steps, self.epochs = train_rows, val_rows, save_steps, epochs
        self.kept = Path(options["args"].output_dir) / "epochs"
        self.journal = Journal()
        self.finished = False
        self.stopped_by = 0  # the signal after which all processes stop early
        self._signal = 0  # the signal that came to this one
        self._losses: list[torch.Tensor] = []  # of the step under way, as are the next three
        self._examples: list[int] = []
        self._tokens = 0
        self._trained_tokens = 0
        self._before: list[int] = []  # examples of the step before
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
        fits = len(at) * self._vocabulary <= PLAIN_HEAD_LOGITS
        if weights is None and not (self._plain_head and fits):
            given["labels"] = inputs["labels"]
            return super().compute_loss(model, given, num_items_in_batch=num_items_in_batch)
        logits = model(**given, use_cache=False, logits_to_keep=at).logits[0]
        if weights is None:
            loss = cross_entropy(logits.float(), targets[at], reduction="sum")
        else:
            loss = weighted_nats(logits.float(), targets[at], weights).sum()
        if num_items_in_batch is None:
            return loss / len(at)
        return loss / num_items_in_batch * self.args.world_size  # since the processes' gradients are averaged

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
        mine = [float(sum(self._losses)), self._tokens, self._trained_tokens, self._signal]
        losses, tokens, trained, signals = zip(*self._of_all(mine), strict=True)
        loss, size = sum(losses) / len(losses), float(norm)
        scaled = self.args.fp16  # loss scaling finds its scale through overflows, and skips those steps
        step = self.state.global_step + 1
        if not math.isfinite(loss) or not (math.isfinite(size) or scaled):
            self.check_weights()  # broken by the step before, it is that one's fault
            raise self._not_finite(f"step {step}: loss {loss}, gradient norm {size}", self._examples)
        self.journal.steps.append(
            {
                "step": step,
                "loss": loss,
                "lr": self._get_learning_rate(),
                "grad_norm": size if math.isfinite(size) else None,
                "tokens": int(sum(tokens)),
                "trained_tokens": int(sum(trained)),
            }
        )
        self.stopped_by = int(max(signals))
        self._before = self._examples
        self._losses, self._examples, self._tokens, self._trained_tokens = [], [], 0, 0
        return norm

    def _of_all(self, figures: Sequence[float]) -> list[list[float]]:
        """The same figures of every process, in order."""
        if self.args.world_size == 1:
            return [list(figures)]
        mine = torch.tensor([figures], dtype=torch.float64, device=self.args.device)
        return self.accelerator.gather(mine).tolist()

    def check_weights(self) -> None:
        """Raises ParleyError if the last step left a weight that is not finite."""
        own = [(name, _held(part)) for name, part in self.model.named_parameters() if part.requires_grad]
        bad = [name for name, part in own if not torch.isfinite(part).all()]
        if any(count for (count,) in self._of_all([len(bad)])):
            found = f"step {self.state.global_step}: {len(bad)} weights ({', '.join(bad[:1])}) after it"
            raise self._not_finite(found, self._before)

    def _not_finite(self, found: str, examples: Sequence[int]) -> ParleyError:
        ids = [self.train_rows.examples[index].id for index in examples]
        if self.args.world_size > 1:
            ids = gather_object(ids)
        more = f" and {len(ids) - 20} more" if len(ids) > 20 else ""
        return ParleyError(
            f"{found}: not finite, nothing is published. "
            f"Examples of this step: {', '.join(ids[:20])}{more}. Lower train.lr, or look at these rows"
        )

    def end_epoch(self, *, last: bool) -> None:
        """What happens once an epoch: validation loss, the weights that are kept, whether it was the last.

        Whatever else is measured once an epoch belongs here, its figures into `journal.evaluations[-1]`: then a
        resumed run has them too, and `best_epoch` may go by them.
        """
        self.evaluate_epoch()
        epoch, best = len(self.journal.evaluations) - 1, self.best_epoch()
        self.finished = last or 0 < self.epochs.patience <= epoch - self.best_epoch(first=True)
        if not (self.finished or self.epochs.keep or self.epochs.best_by != "last"):
            return
        self.check_weights()
        if self.epochs.keep or epoch == best:
            self.save_model(str(self.kept / str(epoch)), _internal_call=True)
        if not self.epochs.keep and self.args.should_save:
            for folder in self.kept.iterdir():
                if folder.name != str(best):
                    shutil.rmtree(folder)

    def best_epoch(self, *, first: bool = False) -> int:
        """The epoch to publish, from 1; `first`: of equals the first."""
        return self.epochs.best(self.journal.evaluations[1:], first=first)

    def evaluate_epoch(self) -> None:
        """Writes down the mean nats/token over the validation split. Draws no random number."""
        model, rows, args = self.model_wrapped, self.val_rows, self.args
        size, total, tokens = args.per_device_train_batch_size, 0.0, 0
        starts = list(range(0, len(rows.rows), size))
        rounds = math.ceil(len(starts) / args.world_size)  # each process makes as many calls: weights may be in pieces
        model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            for turn in range(args.process_index, rounds * args.world_size, args.world_size):
                start = starts[turn % len(starts)]
                inputs = self._prepare_inputs(rows.batch(range(start, min(start + size, len(rows.rows)))))
                loss = float(self.compute_loss(model, inputs, num_items_in_batch=1)) / args.world_size
                if turn < len(starts):
                    total += loss
                    tokens += int((inputs["labels"] != IGNORED).sum())
        measured = self._measured()
        model.train()
        self._metrics["eval"].clear()
        total, tokens = (sum(part) for part in zip(*self._of_all([total, tokens]), strict=True))
        self.journal.evaluations.append(
            {
                "epoch": round(self.state.epoch or 0.0, 6),
                "step": self.state.global_step,
                "loss": total / tokens if tokens else None,
                "tokens": int(tokens),
                "examples": len(rows.examples),
                **measured,
            }
        )

    def _measured(self) -> dict[str, Any]:
        """What `epochs.measure` finds, with attention for a model in use: packed rows know no cache."""
        if self.epochs.measure is None:
            return {}
        model = self.accelerator.unwrap_model(self.model)
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        packed = base.config._attn_implementation
        base.set_attn_implementation("sdpa")
        try:
            with self.compute_loss_context_manager():
                return self.epochs.measure(model)
        finally:
            base.set_attn_implementation(packed)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """The weights alone: no tokenizer, no pickled arguments, no card, and no question to the Hub."""
        folder = Path(output_dir or self.args.output_dir)
        # "auto" would ask the Hub for the base's vocabulary.
        adapter = {"save_embedding_layers": False} if hasattr(self.model, "peft_config") else {}
        self.model.save_pretrained(folder, state_dict=state_dict, **adapter)
        (folder / "README.md").unlink(missing_ok=True)

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        self.check_weights()
        if self.args.should_save:
            shutil.rmtree(folder, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        try:
            Trainer._save_checkpoint(self, model, trial)  # TRL's own adds a model card
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                journal = {"steps": self.journal.steps, "evaluations": self.journal.evaluations}
                write_json(folder / "journal.json", journal)
                if self.kept.is_dir():
                    link_tree(self.kept, folder / "epochs")
                seal(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def run(self, checkpoint: Path | None) -> None:
        """Trains, from a sealed checkpoint or from the start; `stopped_by` tells of a signal that ended it."""
        if self.args.device.type == "cpu":
            # Of several processes, accelerate calls it cpu:0, where torch.load can put no optimizer's state.
            self.args.__dict__["_setup_devices"] = torch.device("cpu")
        if self.args.should_save:
            shutil.rmtree(self.kept, ignore_errors=True)
        if checkpoint is not None:
            journal = read_json(checkpoint / "journal.json")
            self.journal = Journal(journal["steps"], journal["evaluations"])
            if self.args.should_save and (checkpoint / "epochs").is_dir():
                link_tree(checkpoint / "epochs", self.kept)
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: object) -> None:
        """The first signal saves at the end of a step that all processes agree on; a second one stops at once."""
        if self._signal and self.args.world_size == 1:
            sys.exit(128 + number)
        if not self._signal and self.args.process_index == 0:
            print("\ntrain: stopping after this step, with a checkpoint", file=sys.stderr)
        self._signal = number


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
        if args.fsdp:
            prove_cut(self.trainer.model)
        if not self.trainer.journal.evaluations:
            self.trainer.evaluate_epoch()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        last = state.global_step >= state.max_steps
        if last or float(state.epoch or 0.0).is_integer():
            self.trainer.end_epoch(last=last)
        if self.trainer.finished:
            control.should_training_stop = True
        elif self.trainer.stopped_by:
            control.should_training_stop = control.should_save = True
        elif self.trainer.save_steps and state.global_step % self.trainer.save_steps == 0:
            control.should_save = True
