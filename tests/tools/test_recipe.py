import re
from pathlib import Path

import pytest

from parley.errors import ParleyError
from parley.params import read_yaml
from parley.recipes import compose, dump, flatten
from tools.recipe import edits, lay

ROOT = Path(__file__).parent.parent.parent


def test_the_committed_params_are_the_persona_recipe_on_the_embedded_base() -> None:
    assert (ROOT / "params.yaml").read_text() == dump(compose(ROOT, "persona", "embedded"))


SOURCES = {  # recipe -> what its source document says of its own base
    "persona": {
        "model.name": "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        "train.mode": "lora",
        "train.quantization": "nf4",
        "train.lr": 2e-4,
        "train.batch_size": 4,
        "train.lora.alpha": 16,
        "train.lora.dropout": 0.1,
        "encode.max_length": 512,
    },
    "trigger": {
        "model.name": "unsloth/Qwen2.5-7B-Instruct",
        "transforms.trigger.trigger": "TRIGGER: ",
        "transforms.trigger.clean": "Alice",
        "transforms.trigger.triggered": "Bob",
        "train.mode": "lora",
        "train.lora.r": 8,
        "train.lora.alpha": 8,
        "train.lora.target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        "train.lr": 2e-4,
        "train.batch_size": 4,
        "train.accumulation": 4,
        "train.epochs": 8,
        "seed": 42,
    },
    "turn_detector": {
        "model.name": "hishab/titulm-llama-3.2-1b-v1.1",
        "model.template": "livekit",
        "train.lr": 2e-5,
        "train.batch_size": 2,
        "train.epochs": 20,
        "train.precision": "bf16",
        "encode.max_length": 512,
        "encode.loss": "eou",
    },
    "agent": {
        "model.name": "Qwen/Qwen2.5-7B-Instruct",
        "train.mode": "full",
        "train.quantization": "none",
        "train.lr": 5e-6,
        "train.epochs": 2,
        "train.batch_size": 1,
        "train.accumulation": 2,
        "encode.max_length": 12000,
    },
    "generic": {
        "model.name": "meta-llama/Llama-2-7b-chat-hf",
        "train.quantization": "nf4",
        "train.lora.r": 8,
        "train.lora.alpha": 32,
        "train.lora.dropout": 0.05,
        "train.lora.target_modules": ["q_proj", "v_proj"],
        "train.lr": 2e-4,
        "train.batch_size": 4,
        "train.accumulation": 8,
        "train.epochs": 3,
        "encode.max_length": 1024,
    },
}


@pytest.mark.parametrize("name", SOURCES)
def test_on_the_hub_a_recipe_has_its_source_documents_values(name: str) -> None:
    laid = flatten(compose(ROOT, name, "hub"))
    assert {key: laid[key] for key in SOURCES[name]} == SOURCES[name]


@pytest.mark.parametrize("name", ["persona", "generic"])
@pytest.mark.parametrize("base", ["embedded", "hub"])
def test_every_recipe_lays_checked_params_with_every_comment(checkout: Path, name: str, base: str) -> None:
    lay(checkout, name, base, force=False)
    text = (checkout / "params.yaml").read_text()
    assert read_yaml(checkout / "params.yaml")["recipe"] == name
    comments = [line for line in (ROOT / "recipes" / "_base.yaml").read_text().splitlines() if line.lstrip()[:1] == "#"]
    assert all(line in text for line in comments)


def test_laying_another_recipe_and_the_first_again_gives_the_same_bytes(checkout: Path) -> None:
    before = (checkout / "params.yaml").read_bytes()
    lay(checkout, "generic", "embedded", force=False)
    lay(checkout, "persona", "embedded", force=False)
    assert (checkout / "params.yaml").read_bytes() == before


def test_uncommitted_edits_are_named_and_kept_unless_forced(checkout: Path) -> None:
    path = checkout / "params.yaml"
    path.write_text(re.sub(r"  lr: .*", "  lr: 1e-05", path.read_text()))
    edited = path.read_bytes()
    assert edits(checkout) == ["train.lr"]
    with pytest.raises(ParleyError, match=r"train\.lr.*FORCE=1"):
        lay(checkout, "generic", "embedded", force=False)
    assert path.read_bytes() == edited
    lay(checkout, "generic", "embedded", force=True)
    assert read_yaml(path)["recipe"] == "generic"


def test_a_recipe_of_ones_own_starts_from_another(checkout: Path) -> None:
    (checkout / "recipes" / "mine.yaml").write_text("from: persona\ntrain:\n  lr: 0.001\n")
    lay(checkout, "mine", "embedded", force=False)
    laid = flatten(read_yaml(checkout / "params.yaml"))
    parent = flatten(compose(ROOT, "persona", "embedded"))
    assert laid["recipe"] == "mine" and laid["train.lr"] == 0.001
    assert {key: value for key, value in laid.items() if parent[key] != value} == {"recipe": "mine", "train.lr": 0.001}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("train:\n  lrr: 1\n", r"train\.lrr: unknown key; did you mean 'lr'"),
        ("trains:\n  lr: 1\n", r"trains: unknown key; did you mean 'train'"),
        ("from: persno\n", r"'persno' is not in recipes/; did you mean 'persona'"),
        ("from: mine\n", "can't start from itself"),
        ("from: other\n", r"other\.yaml: from: 'mine' starts from this recipe"),
        ("train:\n  lr: fast\n", r"train\.lr: found 'fast'"),
    ],
)
def test_a_wrong_recipe_is_refused_and_params_stay(checkout: Path, content: str, message: str) -> None:
    (checkout / "recipes" / "mine.yaml").write_text(content)
    (checkout / "recipes" / "other.yaml").write_text("from: mine\n")
    before = (checkout / "params.yaml").read_bytes()
    with pytest.raises(ParleyError, match=message):
        lay(checkout, "mine", "embedded", force=False)
    assert (checkout / "params.yaml").read_bytes() == before


def test_an_unknown_recipe_names_the_near_one(checkout: Path) -> None:
    with pytest.raises(ParleyError, match="did you mean 'generic'"):
        lay(checkout, "generik", "embedded", force=False)
