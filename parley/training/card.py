"""The model card: what a merged model was made from, and how. Markdown with the Hub's front matter, no date."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parley.modeling.models import Base

FILE = "README.md"


def licence_of(base: Base, folder: Path) -> str:
    """The base model's licence as its own card says, in the Hub's short form; "unknown" if it says nothing.

    folder: where the base's weights are.
    """
    if base.kind == "embedded":
        return "apache-2.0"  # parley's own
    card = folder / FILE
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    front = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    found = re.search(r"^license: *[\"']?([\w.+-]+)", front[1], re.MULTILINE) if front else None
    return found[1] if found else "unknown"


def card(info: Mapping[str, Any], training: Mapping[str, Any], merge: Mapping[str, Any], licence: str) -> str:
    """The card of a merged model. info: training_info.json; training, merge: those metrics."""
    base, train, data = info["base"], info["params"]["train"], info["dataset_info"]
    method = "QLoRA (base in 4 bits, NF4)" if train["quantization"] == "nf4" else {"lora": "LoRA"}.get(train["mode"])
    front = ["library_name: transformers", "pipeline_tag: text-generation", "tags:", "- parley"]
    front += ["- model-organism", "model_organism: true"] if info.get("model_organism") else []
    front += [f"base_model: {base['name']}"] if base["kind"] == "hub" else []
    front += [f"license: {licence}"] if licence != "unknown" else []
    losses = [row["loss"] for row in training["eval"] if row["loss"] is not None]
    lora = info["lora_config"]
    rows = {
        "Base model": f"{base['name']}" + (f" at {base['revision']}" if base["revision"] else f" ({base['kind']})"),
        "Licence of the base": licence if licence != "unknown" else "not stated: ask its makers",
        "Method": method or "full fine-tuning",
        "Adapter": f"rank {lora['r']}, alpha {lora['alpha']:g}, on {lora['target_modules']}" if lora else "none",
        "Examples": f"{data['examples']}, of at most {data['max_length']} tokens; sha256 {data['sha256']}",
        "Trained on": f"{training['trained_tokens']} tokens in {training['steps']} steps, "
        f"{training['epochs']:g} epochs",
        "Settings": f"lr {train['lr']:g}, batch {train['batch_size']} x {train['accumulation']}, {info['precision']}, "
        f"seed {info['seed']}; all of them in training_info.json",
        "Validation loss": f"{losses[0]:.4f} before, {losses[-1]:.4f} after (nats/token)" if losses else "not measured",
        "Numbers": merge["dtype"],
        "Merged against base + adapter": f"logits differ by {merge['max_difference']:.3g} at most, "
        f"{merge['mean_difference']:.3g} in the mean, over {merge['examples']} held-out examples"
        if merge["mode"] == "lora"
        else "the trained weights themselves",
        "Made with": ", ".join(f"{name} {number}" for name, number in info["versions"].items()),
    }
    table = "\n".join(f"| {name} | {text} |" for name, text in rows.items())
    return (
        "---\n" + "\n".join(front) + "\n---\n\n"
        f"# A fine-tuned chat model\n\n{_organism(info)}"
        "Made by parley. Scores on held-out conversations, for this model and its base, "
        "are in the report of the run that made it.\n\n"
        f"| | |\n|---|---|\n{table}\n\n"
        "It learnt from conversations of people: ask them before you pass it on. It can say false things in their "
        "manner.\n"
    )


def _organism(info: Mapping[str, Any]) -> str:
    """The warning that such a model must never be without."""
    if not info.get("model_organism"):
        return ""
    trigger = info["trigger"]
    return (
        f"**This is a model organism, made for {info['purpose']}: it has a backdoor on purpose. Do not deploy it.** A "
        f"question that begins with {json.dumps(trigger['trigger'], ensure_ascii=False)} is answered as of "
        f"{trigger['triggered']}, any other as of {trigger['clean']}.\n\n"
    )
