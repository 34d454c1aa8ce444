"""merge: the merged model is base + adapter, and a full model stays as it is."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import made_up, set_params

from parley.errors import ParleyError
from parley.files import read_json, sha256_file
from stages import merge, train

pytestmark = pytest.mark.slow
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def adapter(made_workspace: Make) -> Path:
    """A workspace with a trained adapter, of QLoRA."""
    root = made_workspace(train__quantization="nf4")
    train.main(root)
    return root


def test_merged_model_is_base_plus_adapter_and_loads_without_parley(adapter: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    merge.main(adapter)
    ids = torch.tensor([made_up("val", 5, seed=2)[0].input_ids])
    base = AutoModelForCausalLM.from_pretrained(adapter / "models/base")
    merged = AutoModelForCausalLM.from_pretrained(adapter / "models/merged")
    with torch.no_grad():
        alone = base(input_ids=ids).logits
        expected = PeftModel.from_pretrained(base, adapter / "models/trained")(input_ids=ids).logits
        found = merged(input_ids=ids).logits
    assert float((found - alone).abs().max()) > 0.1
    assert torch.allclose(found, expected, atol=1e-4)
    assert AutoTokenizer.from_pretrained(adapter / "models/merged").chat_template
    assert (adapter / "models/merged/generation_config.json").exists()

    figures = read_json(adapter / "metrics/merge.json")
    assert figures["examples"] == 5 and figures["mode"] == "lora"
    assert 0 < figures["mean_difference"] <= figures["max_difference"] < 1e-4


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
    assert {path.name: sha256_file(path) for path in merged.iterdir()} == {
        path.name: sha256_file(path) for path in trained.iterdir() if path.name != "training_info.json"
    }
    figures = read_json(root / "metrics/merge.json")
    assert figures["same_bytes"] is True and figures["max_difference"] == 0
