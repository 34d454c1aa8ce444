"""make export DEST=folder MODEL_NAME=name: the trained model as one folder to hand on, with a page on how to use it.

    DEST/MODEL_NAME/adapter      of LoRA and QLoRA: weights that need the base model
    DEST/MODEL_NAME/merged       weights that need nothing else, tokenizer, model card, training_info.json
    DEST/MODEL_NAME/tokenizer    the tokenizer and its chat template alone
    DEST/MODEL_NAME/detector     of recipe turn_detector: as `make export-detector` writes it, with ONNX
    DEST/MODEL_NAME/README.md    the card, and commands for transformers, vLLM and Ollama

Copies, not links: what is done to them changes nothing here. No text of the training data goes along.
"""

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from parley.errors import ParleyError
from parley.files import publish, read_json
from parley.params import read_value
from parley.training.card import FILE
from tools import check_elsewhere, told
from tools.scored_card import scored_card

HOW = """
## How to use it

```python
from transformers import pipeline

chat = pipeline("text-generation", model="merged")
print(chat([{{"role": "user", "content": "Hello!"}}], max_new_tokens=64)[0]["generated_text"][-1]["content"])
```

With [vLLM](https://docs.vllm.ai), an OpenAI-compatible server (not tried by the makers of this folder):

```bash
vllm serve merged --served-model-name {name}
```

With [Ollama](https://ollama.com), which reads safetensors of Llama, Mistral, Gemma and Phi (not tried either):

```bash
echo "FROM ./merged" > Modelfile
ollama create {name} -f Modelfile
```
"""
ADAPTER = """
The adapter needs its base: {base}.

```python
from peft import AutoPeftModelForCausalLM

model = AutoPeftModelForCausalLM.from_pretrained("adapter")
```
"""
HOME_MADE = "which is on no hub, since it was trained here; `merged` is the one to hand on"


def export(root: Path, destination: Path, name: str) -> Path:
    """Writes the folder and returns its path; raises ParleyError where there is no model, or a folder already."""
    merged, trained = root / "models/merged", root / "models/trained"
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise ParleyError(f"MODEL_NAME={name!r}: letters, digits, dots, hyphens and underscores only")
    if not (merged / "training_info.json").is_file():
        raise ParleyError("models/merged is not there: `make repro` makes it")
    check_elsewhere(root, destination, "DEST", "models", "data", "metrics")
    target = destination / name
    if target.exists():
        raise ParleyError(f"{target} is there already: remove it, or take another MODEL_NAME")
    base = read_json(merged / "training_info.json")["base"]
    adapter = (trained / "adapter_config.json").is_file()
    with publish(target) as made:
        made.mkdir()
        _copy(merged, made / "merged")
        _copy(merged, made / "tokenizer", leave=_but_tokenizer(merged))
        card = scored_card(root, merged).replace("# A fine-tuned chat model", f"# {name}", 1)
        (made / "merged" / FILE).write_text(card, encoding="utf-8")
        text = card + HOW.format(name=name)
        if adapter:
            _copy(trained, made / "adapter", leave=["epochs"])
            text += ADAPTER.format(base=base["name"] if base["kind"] == "hub" else f"{base['name']}, {HOME_MADE}")
        if read_value(root, "recipe", str) == "turn_detector":
            from tools.export_detector import export as export_detector

            export_detector(root, made / "detector")
        (made / "README.md").write_text(text, encoding="utf-8")
    return target


def _copy(source: Path, target: Path, *, leave: Sequence[str] = ()) -> None:
    shutil.copytree(source, target, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns(*leave))


def _but_tokenizer(folder: Path) -> list[str]:
    names = ("tokenizer", "special_tokens", "added_tokens", "vocab", "merges", "chat_template", "spiece")
    return [path.name for path in folder.iterdir() if not path.name.startswith(names)]


def main() -> None:
    destination, name = sys.argv[1:]
    with told("export", folder="DEST"):
        if not destination or not name:
            raise ParleyError("make export DEST=../models MODEL_NAME=my-model")
        target = export(Path(), Path(destination), name)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"export: {target}: {', '.join(sorted(path.name for path in target.iterdir()))}; {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
