"""What a workspace for train and merge holds: examples and params.yaml."""

import copy
import io
import random
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from parley.encoding.examples import Example
from parley.params import read_yaml

PARAMS = Path(__file__).parents[1] / "params.yaml"


def made_up(split: str, count: int, seed: int) -> list[Example]:
    """Examples of 8-40 random tokens, the second half of each trained."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        ids = [draw.randrange(5, 300) for _ in range(draw.randrange(8, 41))]
        half = len(ids) // 2
        rows.append(Example(f"{split}-{number}", ids, [-100] * half + ids[half:]))
    return rows


def set_params(root: Path, **changes: Any) -> None:
    """Writes root/params.yaml: the project's own, in fp32 on one thread, with `section__key` changed."""
    values = read_yaml(PARAMS)
    values["model"]["threads"] = 1
    values["train"] |= {"precision": "fp32", "epochs": 2, "batch_size": 2}
    values["train"]["lora"] |= {"r": 4, "alpha": 8}
    values["runtime"] |= {"save_steps": 0, "logging_steps": 1000}
    for name, value in changes.items():
        place = values
        *path, key = name.split("__")
        for part in path:
            place = place[part]
        place[key] = copy.deepcopy(value)
    text = io.StringIO()
    YAML().dump(values, text)
    (root / "params.yaml").write_text(text.getvalue(), encoding="utf-8")
