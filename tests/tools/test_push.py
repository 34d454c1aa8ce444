"""make push and make export: the real client against a hub on the loopback; folders as merge leaves them."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import local_server
import pytest
from local_server import Server
from workspace import set_params

from parley.errors import ParleyError
from parley.files import write_json
from tools.export import export
from tools.scored_card import scored_card

ROOT = Path(__file__).parents[2]


class Hub(Server):
    """Keeps what it is asked and sent; `public` is what it says of the repository."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.asked: list[tuple[str, str]] = []
        self.created: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}
        self.public = False
        self.tokens: set[str | None] = set()


class Handler(local_server.Handler):
    server: Hub

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, sent: bytes) -> None:
        hub, path = self.server, self.path.partition("?")[0]
        hub.asked.append((self.command, path))
        hub.tokens.add(self.headers["Authorization"])
        address = f"{hub.url}/ann/boats"
        reply: dict[str, Any] = {"id": "ann/boats", "private": not hub.public, "sha": "0" * 40, "siblings": []}
        if path == "/api/repos/create":
            hub.created = json.loads(sent)
            reply = {"url": address}
        elif path.endswith("/preupload/main"):
            reply = {
                "files": [
                    {**file, "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(sent)["files"]
                ]
            }
        elif path.endswith("/commit/main"):
            rows = [json.loads(line) for line in sent.splitlines()]
            values = [row["value"] for row in rows if row["key"] == "file"]
            hub.files = {value["path"]: base64.b64decode(value["content"]) for value in values}
            reply = {"commitUrl": f"{address}/commit/{'0' * 40}", "commitOid": "0" * 40, "success": True}
        self.send(200, json.dumps(reply).encode(), {"Content-Type": "application/json"})


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        yield server


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """models/ as a LoRA run leaves it, with a byte or two for weights."""
    set_params(tmp_path)
    info = {"schema": 1, "base": {"name": "parley-tiny", "kind": "embedded"}}
    for name, files in {
        "merged": ["README.md", "config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"],
        "trained": ["adapter_config.json", "adapter_model.safetensors", "epochs/1/adapter_model.safetensors"],
    }.items():
        for file in files:
            path = tmp_path / "models" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("# A fine-tuned chat model\n" if file == "README.md" else f"{name} {file}")
        (tmp_path / "models" / name / "training_info.json").write_text(json.dumps(info))
    return tmp_path


def pushed(hub: Hub, workspace: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    address = hub.url
    home = {"HF_HOME": str(workspace / "home"), "HF_ENDPOINT": address, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "tools.push", *arguments],
        cwd=workspace,
        env={**kept, **home, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_model_goes_up_private_with_its_card_in_one_commit(hub: Hub, workspace: Path) -> None:
    done = pushed(hub, workspace, "ann/boats", HF_TOKEN="hf_planted")
    assert done.returncode == 0, done.stderr
    assert "/ann/boats/commit/" in done.stdout and "planted" not in done.stdout
    assert hub.created["visibility"] == "private"
    assert hub.tokens == {"Bearer hf_planted"}
    merged = workspace / "models/merged"
    assert hub.files == {path.name: path.read_bytes() for path in merged.iterdir()}


def test_a_public_repository_gets_nothing_unless_asked(hub: Hub, workspace: Path) -> None:
    hub.public = True
    done = pushed(hub, workspace, "ann/boats", HF_TOKEN="hf_planted")
    assert done.returncode == 1 and "PUBLIC=1" in done.stderr and hub.files == {}
    assert pushed(hub, workspace, "ann/boats", "--public", HF_TOKEN="hf_planted").returncode == 0
    assert hub.files


def test_without_repo_token_or_model_nothing_is_sent(hub: Hub, workspace: Path) -> None:
    for arguments, environment, says in (
        (("",), {"HF_TOKEN": "hf_x"}, "REPO= is missing"),
        (("ann/boats",), {}, "no HF_TOKEN"),
        (("ann/boats", "--folder", "models/trained"), {"HF_TOKEN": "hf_x"}, "has no README.md and no config.json"),
    ):
        done = pushed(hub, workspace, *arguments, **environment)
        assert done.returncode == 1 and says in done.stderr and "Traceback" not in done.stderr
    assert hub.asked == []


def test_an_export_holds_adapter_merged_tokenizer_and_card(workspace: Path) -> None:
    target = export(workspace, workspace / "out", "boats")
    found = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    assert found == [
        "README.md",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "adapter/training_info.json",
        "merged/README.md",
        "merged/chat_template.jinja",
        "merged/config.json",
        "merged/model.safetensors",
        "merged/tokenizer.json",
        "merged/training_info.json",
        "tokenizer/chat_template.jinja",
        "tokenizer/tokenizer.json",
    ]
    page = (target / "README.md").read_text()
    assert page.startswith("# boats\n") and "vllm serve merged --served-model-name boats" in page
    assert page.count("not tried") == 2 and "trained here" in page


def test_a_card_gets_the_scores_of_its_own_model_and_no_others(workspace: Path, hub: Hub) -> None:
    card = "# A fine-tuned chat model\n\nIt learnt from conversations of people: ask them.\n"
    (workspace / "models/merged/README.md").write_text(card)
    row = {"tuned": {"value": 3.5, "low": 3.25, "high": 4.0}, "base": {"value": 9.0, "low": None, "high": None}}
    nats = {"tuned": {"value": 1, "low": None, "high": None}, "base": {"value": 2, "low": None, "high": None}}
    scores = {
        "test": {
            "perplexity": {**nats, "unit": "nats/token", "n": 40, "shown": {**row, "unit": "ppl"}},
            "chrf": {"not_scored": "why"},
        }
    }
    write_json(workspace / "metrics/scores.json", scores)
    assert scored_card(workspace, workspace / "models/merged") == card
    answers, merged = "data/eval/tuned.jsonl", "models/merged"

    def lock(made: str) -> None:
        stages = {
            "merge": {"outs": [{"path": merged, "md5": made}]},
            "generate@tuned": {"deps": [{"path": merged, "md5": "a"}], "outs": [{"path": answers, "md5": "b"}]},
            "score": {"deps": [{"path": answers, "md5": "b"}]},
        }
        (workspace / "dvc.lock").write_text(json.dumps({"stages": stages}))

    lock("another")
    assert scored_card(workspace, workspace / "models/merged") == card
    lock("a")
    assert pushed(hub, workspace, "ann/boats", HF_TOKEN="hf_planted").returncode == 0
    export(workspace, workspace / "out", "boats")
    for text in (hub.files["README.md"].decode(), (workspace / "out/boats/merged/README.md").read_text()):
        assert "| perplexity (ppl) | 3.5 [3.25, 4] | 9 | 40 |" in text and "chrf" not in text
        assert text.endswith("It learnt from conversations of people: ask them.\n")
    assert (workspace / "models/merged/README.md").read_text() == card
    assert scored_card(workspace, workspace / "models/trained" / ".." / "merged") != card


@pytest.mark.parametrize(
    ("destination", "name", "says"),
    [
        ("models", "boats", "pipeline's own"),
        ("out", "../boats", "letters, digits"),
        ("there", "boats", "there already"),
    ],
)
def test_an_export_that_would_overwrite_something_is_refused(
    workspace: Path, destination: str, name: str, says: str
) -> None:
    (workspace / "there/boats").mkdir(parents=True)
    with pytest.raises(ParleyError, match=says):
        export(workspace, workspace / destination, name)
