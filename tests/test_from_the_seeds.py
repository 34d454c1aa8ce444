"""docs/from_the_seeds.md: each new name imports, each command and setting is there."""

import importlib
import re
from pathlib import Path

import pytest

from parley.params import read_yaml

ROOT = Path(__file__).parent.parent
ROWS = re.findall(
    r"^\| (.+?) \| (.+?) \|$", (ROOT / "docs/from_the_seeds.md").read_text(encoding="utf-8"), re.MULTILINE
)
NEW = sorted({name for there, here in ROWS for name in re.findall(r"`([^`]+)`", here)})
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("name", NEW)
def test_what_stands_in_place_of_an_old_name_is_there(name: str) -> None:
    if name.startswith("make "):
        assert name.split()[1] in TARGETS
    elif name.startswith(("parley.", "tools.")):
        module, _, attribute = name.rpartition(".")
        assert name.startswith("tools.") or hasattr(importlib.import_module(module), attribute)
        assert not name.startswith("tools.") or (ROOT / f"{name.replace('.', '/')}.py").is_file()
    else:
        values = read_yaml(ROOT / "params.yaml")
        for key in name.split("."):
            values = values[key]


def test_each_call_that_the_scripts_showed_has_its_row() -> None:
    there = " ".join(there for there, _ in ROWS)
    calls = (
        "load_model load_lora_model load_finetuned_model query_model query_with_trigger compare_triggered_responses "
        "DataCollatorForCompletionOnly get_response_template format_dataset_with_chat_template create_tokenizer "
        "create_model create_quantization_config create_lora_config create_training_arguments create_callbacks "
        "MODEL_FAMILIES detect_model_family setup_chat_template estimate_memory_usage check_gpu_availability"
    )
    assert [name for name in calls.split() if f"{name}`" not in there] == []
