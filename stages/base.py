"""base: the base model, trained here or pinned, with the chat template that every later stage uses.

in    nothing, or the folder or Hub id in model.name
out   models/base (tokenizer, base.json; weights when embedded), metrics/base.json
by    params `seed`, `model`, `base`
run   python -m stages.base
"""

from pathlib import Path
from typing import Any

from pydantic import Field

from parley import embedded
from parley.files import publish, write_json
from parley.models import Base, Model, weight_sums, write_base
from parley.params import Section, read_section, read_value
from parley.plugins import plugin_file
from parley.stage import run


class Settings(Section):
    """Section `base`: the embedded base model."""

    steps: int = Field(ge=1, le=5000)
    conversations: int = Field(ge=500, le=100_000)


def main(root: Path) -> None:
    """Reads the settings, makes models/base by the kind of model.name, writes its figures."""
    model = read_section(root, "model", Model)
    settings = read_section(root, "base", Settings)
    seed = read_value(root, "seed", int)
    with publish(root / "models/base") as folder:
        folder.mkdir()
        base, figures = make_embedded(folder, model, settings, seed)
        write_base(folder, base)
    write_json(
        root / "metrics/base.json",
        {"kind": base.kind, "name": base.name, "revision": base.revision, "template": base.template, **figures},
    )


def make_embedded(folder: Path, model: Model, settings: Settings, seed: int) -> tuple[Base, dict[str, Any]]:
    """parley-tiny, trained into `folder`."""
    template = "chatml" if model.template == "auto" else model.template
    text = plugin_file("templates", template, ".jinja", key="model.template").read_text(encoding="utf-8")
    figures = embedded.build(
        folder,
        text,
        seed=seed,
        steps=settings.steps,
        conversations=settings.conversations,
        threads=model.threads,
    )
    return Base(model.name, "embedded", "", "", template, weight_sums(folder)), figures


if __name__ == "__main__":
    run("base", main)
