"""Templates to text: the tables in this folder, and `expand`, which fills one template.

A template holds alternatives and slots: "[how long|how many minutes] should {flour} dough rest?".
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from ruamel.yaml import YAML

_CHOICE = re.compile(r"\[([^\[\]|]*(?:\|[^\[\]|]*)+)\]")
_SLOT = re.compile(r"\{(\w+)\}")


def read_table(name: str) -> Any:
    """The content of tools/samples/NAME.yaml."""
    return YAML(typ="safe").load((Path(__file__).parent / f"{name}.yaml").read_text(encoding="utf-8"))


def as_lines(rows: Iterable[Any]) -> str:
    """The rows as JSON lines."""
    return "".join(f"{as_json(row)}\n" for row in rows)


def as_list(rows: Iterable[Any]) -> str:
    """The rows as a JSON list, one a line."""
    return "[\n" + ",\n".join(map(as_json, rows)) + "\n]\n"


def as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def expand(rng: Random, template: str, slots: Mapping[str, str]) -> str:
    """The template with one alternative of each bracket drawn and every slot filled; an unknown slot is a KeyError."""
    while _CHOICE.search(template):
        template = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), template)
    return _SLOT.sub(lambda found: slots[found[1]], template)


def draw_slots(rng: Random, topic: Mapping[str, Any], pools: Mapping[str, list[str]]) -> dict[str, str]:
    """One value of every pool, and one row of the topic's own table: cells that belong together stay together."""
    slots = {name: rng.choice(values) for name, values in pools.items()}
    if "rows" in topic:
        slots |= dict(zip(topic["columns"], rng.choice(topic["rows"]), strict=True))
    return slots
