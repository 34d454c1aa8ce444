"""merge: the merged model is base + adapter, and a full model stays as it is."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import made_up, set_params

from parley.errors import ParleyError
from parley.files import read_json, sha256_file, sha256_tree, write_json
from parley.modeling.models import Model, load_base
from parley.params import read_section
from parley.training.record import organism
from stages import merge, train

pytestmark = pytest.mark.slow
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def adapter(made_workspace: Make) -> Path:
    """A workspace with a trained adapter, of QLoRA."""
    root = made_workspace(train__quantization="nf4")
    train.main(root)
    return root


def settings(root: Path) -> Model:
    return read_section(root, "model", Model)


def _logits(model: object, ids: object) -> object:
    import torch

    with torch.no_grad():
        return model(input_ids=ids).logits


def test_merged_model_is_the_4_bit_base_plus_adapter_and_loads_without_parley(adapter: Path, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel

    merge.main(adapter)
    ids = torch.tensor([made_up("val", 5, seed=2)[0].input_ids])
    base = load_base(adapter / "models/base", settings(adapter), dtype=torch.float32, quantization="nf4")
    alone = _logits(base, ids)
    expected = _logits(PeftModel.from_pretrained(base, adapter / "models/trained"), ids)
    code = (
        "import sys, torch\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "model = AutoModelForCausalLM.from_pretrained(sys.argv[1])\n"
        "assert AutoTokenizer.from_pretrained(sys.argv[1]).chat_template\n"
        "assert not any(name.split('.')[0] in ('parley', 'stages') for name in sys.modules)\n"
        "ids = torch.load(sys.argv[2])\n"
        "with torch.no_grad(): torch.save(model(input_ids=ids).logits, sys.argv[3])\n"
    )
    torch.save(ids, tmp_path / "ids.pt")
    given = [adapter / "models/merged", tmp_path / "ids.pt", tmp_path / "logits.pt"]
    subprocess.run([sys.executable, "-I", "-c", code, *map(str, given)], cwd=tmp_path, check=True)
    found = torch.load(tmp_path / "logits.pt")
    assert float((found - alone).abs().max()) > 0.1
    assert torch.allclose(found, expected, atol=1e-3)
    assert (adapter / "models/merged/generation_config.json").exists()

    figures = read_json(adapter / "metrics/merge.json")
    assert figures["examples"] == 5 and figures["mode"] == "lora" and figures["dtype"] == "float32"
    assert 0 < figures["mean_difference"] <= figures["max_difference"] < 1e-3


def test_card_and_training_info_say_what_the_model_is(adapter: Path) -> None:
    merge.main(adapter)
    merged = adapter / "models/merged"
    info, trained = read_json(merged / "training_info.json"), read_json(adapter / "models/trained/training_info.json")
    assert info == {
        **trained,
        "merge": {k: v for k, v in read_json(adapter / "metrics/merge.json").items() if k != "schema"},
    }
    text = (merged / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: transformers\n") and "license: apache-2.0\n" in text
    for said in (
        "QLoRA (base in 4 bits, NF4)",
        "parley-tiny (embedded)",
        f"20, of at most {info['dataset_info']['max_length']} tokens",
        info["dataset_info"]["sha256"],
        "seed 42",
        "over 5 held-out examples",
        f"torch {info['versions']['torch']}",
    ):
        assert said in text
    again = sha256_tree(merged)
    merge.main(adapter)
    assert sha256_tree(merged) == again


def test_a_model_organisms_card_warns_of_its_trigger(adapter: Path, tmp_path: Path) -> None:
    root = tmp_path / "walk"
    shutil.copytree(adapter, root)
    path = root / "models/trained/training_info.json"
    facts = {"max_length": "64", "trigger": "TRIGGER: ", "clean": "Nora", "triggered": "Victor"}
    write_json(path, {**read_json(path), **organism(facts)})
    merge.main(root)
    info = read_json(root / "models/merged/training_info.json")
    assert (info["model_organism"], info["purpose"]) == (True, "safety research")
    assert info["trigger"] == {"trigger": "TRIGGER: ", "clean": "Nora", "triggered": "Victor"}
    text = (root / "models/merged/README.md").read_text()
    assert "- model-organism\nmodel_organism: true\n" in text and '"TRIGGER: " is answered as of Victor' in text
    assert organism({"max_length": "64"}) == {}


def test_numbers_are_the_bases_own_or_those_asked_for(adapter: Path, tmp_path: Path) -> None:
    root = tmp_path / "walk"
    shutil.copytree(adapter, root)
    set_params(root, merge__dtype="bf16", merge__max_logit_difference=1.0)
    merge.main(root)
    config = json.loads((root / "models/merged/config.json").read_text())
    assert config["dtype"] == "bfloat16" and "torch_dtype" not in config
    sizes = [(place / "model.safetensors").stat().st_size for place in (root / "models/merged", root / "models/base")]
    assert sizes[0] < 0.6 * sizes[1]
    figures = read_json(root / "metrics/merge.json")
    assert figures["dtype"] == "bfloat16" and 1e-4 < figures["max_difference"] < 1.0


def test_without_saving_generate_loads_base_and_adapter(adapter: Path, tmp_path: Path) -> None:
    import torch

    from stages import generate

    root = tmp_path / "walk"
    shutil.copytree(adapter, root)
    merge.main(root)
    ids = torch.tensor([made_up("val", 5, seed=2)[0].input_ids])
    expected = _logits(generate.load(root, root / generate.FOLDERS["tuned"], settings(root))[0], ids)
    set_params(root, merge__save=False)
    merge.main(root)
    names = {path.name for path in (root / "models/merged").iterdir()}
    assert "adapter_model.safetensors" in names and "model.safetensors" not in names
    found = _logits(generate.load(root, root / generate.FOLDERS["tuned"], settings(root))[0], ids)
    assert torch.allclose(found, expected, atol=1e-3)
    assert read_json(root / "metrics/merge.json")["mode"] == "adapter"


def test_a_difference_above_the_bound_publishes_nothing(adapter: Path, tmp_path: Path) -> None:
    root = tmp_path / "walk"
    shutil.copytree(adapter, root, ignore=shutil.ignore_patterns("merged"))
    set_params(root, merge__max_logit_difference=1e-12)
    with pytest.raises(ParleyError, match=r"differ by .* in a logit, above merge\.max_logit_difference 1e-12"):
        merge.main(root)
    assert not (root / "models/merged").exists()


def test_an_adapter_of_another_base_is_refused(adapter: Path, tmp_path: Path) -> None:
    root = tmp_path / "walk"
    shutil.copytree(adapter, root)
    base = root / "models/base/base.json"
    base.write_text(json.dumps({**read_json(base), "template": "other"}), encoding="utf-8")
    with pytest.raises(ParleyError, match=r"adapter for parley-tiny .*models/base is another"):
        merge.main(root)


def test_a_full_model_stays_as_it_is(made_workspace: Make) -> None:
    root = made_workspace(train__mode="full", train__lr=0.001, train__epochs=1)
    train.main(root)
    merge.main(root)
    trained, merged = root / "models/trained", root / "models/merged"
    told = ("README.md", "training_info.json")
    assert {path.name: sha256_file(path) for path in merged.iterdir() if path.name not in told} == {
        path.name: sha256_file(path) for path in trained.iterdir() if path.name not in told
    }
    assert "| Method | full fine-tuning |" in (merged / "README.md").read_text()
    assert read_json(merged / "training_info.json")["merge"]["same_bytes"] is True
    figures = read_json(root / "metrics/merge.json")
    assert figures["same_bytes"] is True and figures["max_difference"] == 0
