"""The base stage: embedded, local and Hub models."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_server import Handler, Server
from tiny_models import MODEL
from workspace import run_stage

from parley.errors import ParleyError
from parley.modeling.models import load_base, load_tokenizer, read_base
from stages import base

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def run(root: Path, *, name: str, template: str = "auto", **more: object) -> Path:
    """Runs the stage on `name` in this process; the folder that it made."""
    write_params(root, name=name, template=template, **more)
    base.main(root)
    return root / "models" / "base"


def write_params(root: Path, *, name: str, trust: bool = False, **more: object) -> None:
    model = {**MODEL.model_dump(), "name": name, "trust_remote_code": trust, **more}
    settings = {"seed": 42, "model": model, "base": {"steps": 25, "conversations": 600}}
    (root / "params.yaml").write_text(json.dumps(settings), encoding="utf-8")


@pytest.fixture
def local(tiny_base: Path, tmp_path: Path) -> Path:
    """A plain transformers model folder, as somebody else would have it."""
    folder = tmp_path / "some-model"
    shutil.copytree(tiny_base, folder)
    (folder / "base.json").unlink()
    return folder


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}), encoding="utf-8")


# --- embedded


def test_the_embedded_base_loads_like_any_transformers_model(tiny_base: Path) -> None:
    import torch

    model = load_base(tiny_base, MODEL, dtype=torch.float32)
    assert model.num_parameters() == 1_723_968
    assert model.generation_config.eos_token_id == load_tokenizer(tiny_base).convert_tokens_to_ids("<|im_end|>")


def test_the_record_names_the_template_and_the_weights(tiny_base: Path) -> None:
    found = read_base(tiny_base)
    assert (found.kind, found.name, found.template, found.revision) == ("embedded", "parley-tiny", "chatml", "")
    assert list(found.weights) == ["model.safetensors"]


def test_metrics_hold_figures_and_no_seconds(tiny_base: Path) -> None:
    figures = json.loads((tiny_base.parents[1] / "metrics/base.json").read_text())
    assert figures["parameters"] == 1_723_968
    assert figures["held_out_perplexity"] < 400
    assert not [key for key in figures if "second" in key]


# --- local


def test_a_local_base_keeps_its_weights_where_they_are(local: Path, tmp_path: Path) -> None:
    import torch

    made = run(tmp_path, name="some-model")
    assert sorted(path.name for path in made.iterdir() if "safetensors" in path.name) == []
    found = read_base(made)
    assert (found.kind, found.source, found.template) == ("local", str(local), "own")
    assert load_base(made, MODEL, dtype=torch.float32).num_parameters() == 1_723_968


def test_pickled_weights_are_refused(local: Path, tmp_path: Path) -> None:
    (local / "model.safetensors").rename(local / "pytorch_model.bin")
    with pytest.raises(ParleyError, match="pickled"):
        run(tmp_path, name="some-model")
    assert not (tmp_path / "models/base").exists()


def test_a_folder_without_weights_is_refused(local: Path, tmp_path: Path) -> None:
    (local / "model.safetensors").unlink()
    with pytest.raises(ParleyError, match=r"no \*\.safetensors"):
        run(tmp_path, name="some-model")


def test_an_adapter_is_refused_as_a_base(local: Path, tmp_path: Path) -> None:
    (local / "config.json").rename(local / "adapter_config.json")
    with pytest.raises(ParleyError, match="holds an adapter"):
        run(tmp_path, name="some-model")


def test_code_that_comes_with_a_model_is_refused_by_the_setting_that_would_allow_it(
    local: Path, tmp_path: Path
) -> None:
    change(local / "config.json", model_type="homemade", auto_map={"AutoModelForCausalLM": "modeling.Homemade"})
    with pytest.raises(ParleyError, match=r"model\.trust_remote_code: true"):
        run(tmp_path, name="some-model")


def test_a_model_that_is_no_causal_language_model_is_refused(local: Path, tmp_path: Path) -> None:
    change(local / "config.json", model_type="clip")
    with pytest.raises(ParleyError, match="is a 'clip'"):
        run(tmp_path, name="some-model")


# --- templates and padding


def test_a_template_without_markers_gets_trls_training_variant(local: Path, tmp_path: Path) -> None:
    import trl

    folder = Path(trl.__file__).parent / "chat_templates"
    shutil.copy(folder / "qwen2_5.jinja", local / "chat_template.jinja")
    made = run(tmp_path, name="some-model")
    assert read_base(made).template == "trl:qwen2_5"
    assert load_tokenizer(made).chat_template == (folder / "qwen2_5_training.jinja").read_text()


def test_a_template_that_trl_does_not_know_stays_as_it_is(local: Path, tmp_path: Path) -> None:
    own = "{% for message in messages %}{{ message['content'] }}{{ eos_token }}{% endfor %}"
    (local / "chat_template.jinja").write_text(own)
    made = run(tmp_path, name="some-model")
    assert (read_base(made).template, load_tokenizer(made).chat_template) == ("own", own)


def test_a_base_without_template_needs_one_by_name(local: Path, tmp_path: Path) -> None:
    (local / "chat_template.jinja").unlink()
    with pytest.raises(ParleyError, match=r"no chat template, and its family is not known: name one of .*chatml"):
        run(tmp_path, name="some-model")
    assert read_base(run(tmp_path, name="some-model", template="chatml")).template == "chatml"


def test_a_template_whose_tokens_the_base_lacks_is_refused(local: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        file = local / name
        file.write_text(file.read_text().replace("<|im_start|>", "<|start|>"), encoding="utf-8")
    with pytest.raises(ParleyError, match=r"'chatml' needs <\|im_start\|>"):
        run(tmp_path, name="some-model", template="chatml")


def test_an_unknown_template_gets_near_misses(tmp_path: Path) -> None:
    with pytest.raises(ParleyError, match="did you mean 'chatml'"):
        run(tmp_path, name="parley-tiny", template="chatmll")


def test_a_missing_pad_token_is_taken_from_the_vocabulary(local: Path, tmp_path: Path) -> None:
    config = json.loads((local / "tokenizer_config.json").read_text())
    del config["pad_token"]
    (local / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = load_tokenizer(run(tmp_path, name="some-model"))
    assert (tokenizer.pad_token, len(tokenizer)) == ("<|pad|>", 2048)


def test_a_pad_token_beyond_the_embeddings_is_replaced(local: Path, tmp_path: Path) -> None:
    change(local / "tokenizer_config.json", pad_token="[EXTRA]")
    assert load_tokenizer(run(tmp_path, name="some-model")).pad_token == "<|pad|>"


# --- the Hub, played by a server of our own under the real client


class Hub(Handler):
    """The routes that a download of small files uses, for one model: good/model, whose main is COMMIT."""

    files: Path

    def do_GET(self) -> None:
        _, *parts = self.path.split("?")[0].split("/")
        names = sorted(path.name for path in self.files.iterdir())
        if parts[:2] == ["api", "models"] and parts[3] == "gone":
            self.send(401, b"{}")
        elif parts[:2] == ["api", "models"] and parts[-1] in ("main", "v1", COMMIT):
            info = {"id": "/".join(parts[2:4]), "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
            self.send(200, json.dumps(info).encode())
        elif parts[:2] == ["api", "models"]:
            self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif parts[1] == "gated":
            self.send(403, b"{}", {"X-Error-Code": "GatedRepo"})
        else:
            content = (self.files / parts[-1]).read_bytes()
            self.send(200, content, {"X-Repo-Commit": COMMIT, "ETag": f'"{parts[-1]}"'})

    do_HEAD = do_GET


@pytest.fixture
def endpoint(local: Path) -> Iterator[str]:
    with Server(type("Here", (Hub,), {"files": local})) as server:
        yield server.url


def run_hub(root: Path, endpoint: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """The stage as its own process: huggingface_hub reads its environment when it is imported."""
    return run_stage(root, "base", HF_ENDPOINT=endpoint, HF_HOME=str(root / "hf"), **extra)


def test_a_hub_model_is_pinned_to_a_commit_and_found_again_without_network(endpoint: str, tmp_path: Path) -> None:
    write_params(tmp_path, name="good/model", revision="v1")
    online = run_hub(tmp_path, endpoint)
    assert online.returncode == 0, online.stderr
    found = read_base(tmp_path / "models/base")
    assert (found.kind, found.source, found.revision, found.weights) == ("hub", "good/model", COMMIT, {})
    assert not list((tmp_path / "hf").rglob("*.safetensors"))
    offline = run_hub(tmp_path, endpoint, HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stderr
    assert read_base(tmp_path / "models/base") == found


@pytest.mark.parametrize(
    ("name", "revision", "trust", "said"),
    [
        ("good/gone", "", False, "there is no 'good/gone' on the Hub, or it is private"),
        ("good/gated", "", False, "is gated: accept its licence at {endpoint}/good/gated, then set HF_TOKEN"),
        ("good/model", "v9", False, "has no branch, tag or commit 'v9'"),
        ("good/model", "main", True, "code may only run from a full commit"),
        ("no/such/folder", "", False, "neither a folder here nor a Hub id"),
    ],
)
def test_what_the_hub_refuses_is_explained(
    endpoint: str, tmp_path: Path, name: str, revision: str, trust: bool, said: str
) -> None:
    write_params(tmp_path, name=name, revision=revision, trust=trust)
    ended = run_hub(tmp_path, endpoint)
    assert ended.returncode == 1
    assert said.format(endpoint=endpoint) in ended.stderr
    assert not (tmp_path / "models/base").exists()


def test_without_network_the_ways_out_are_named(tmp_path: Path) -> None:
    write_params(tmp_path, name="good/model")
    ended = run_hub(tmp_path, "http://127.0.0.1:9")
    assert ended.returncode == 1
    for word in ("good/model", "HF_HOME", "local folder", "parley-tiny"):
        assert word in ended.stderr
