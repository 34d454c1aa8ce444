"""generate.backend: openai_http, by the real client over a real socket, against a server with a real model."""

from pathlib import Path
from typing import Any

import pytest
from test_generate import OPEN_TURN, lay_cases
from tiny_models import MODEL_YAML

from parley.errors import ParleyError
from parley.evaluation import generations_of
from parley.modeling.models import Model
from parley.params import read_section
from stages.generate import main
from tests.served import ModelServer

TEXTS = ["hi " * 9, "what is an echo?", "<|im_end|>", "x"]
PARAMS = f"""\
{MODEL_YAML}generate:
  max_new_tokens: 6
  batch_size: 3
  backend: {{backend}}
  endpoint: "{{endpoint}}"
"""


@pytest.fixture
def root(tmp_path: Path, tiny_base: Path) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/base").symlink_to(tiny_base)
    lay_cases(tmp_path, TEXTS)
    use(tmp_path, "local")
    return tmp_path


def use(root: Path, backend: str, endpoint: str = "") -> None:
    (root / "params.yaml").write_text(PARAMS.format(backend=backend, endpoint=endpoint))


def serve(root: Path, **has: Any) -> ModelServer:
    server = ModelServer(root / "models/base", read_section(root, "model", Model), **has)
    use(root, "openai_http", server.url)
    return server


def test_a_served_model_writes_the_same_file_as_the_model_here(root: Path) -> None:
    lay_cases(root, TEXTS, [OPEN_TURN])
    main(root, "base")
    here = generations_of(root / "data/eval/base.jsonl")
    with serve(root) as server:
        main(root, "base")
        assert all("temperature" in sent and sent["model"] == "base" for _, sent in server.requests)
    there = generations_of(root / "data/eval/base.jsonl")
    assert list(there) == list(here)
    for name, found in there.items():
        assert (found.text, found.finish, found.tokens) == (here[name].text, here[name].finish, here[name].tokens)
        assert found.reference_logprobs == pytest.approx(here[name].reference_logprobs, abs=1e-4)


def test_without_log_probabilities_they_are_absent_and_it_is_said(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(root, gives_logprobs=False) as server:
        main(root, "base")
        assert sum(bool(sent.get("echo")) for _, sent in server.requests) == 1
    assert {found.reference_logprobs for found in generations_of(root / "data/eval/base.jsonl").values()} == {()}
    assert "no log-probabilities of a prompt: perplexity is not scored" in capsys.readouterr().out


def test_a_server_of_chat_completions_alone_gets_the_turns(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(root, chat_only=True) as server:
        main(root, "base")
        last = server.requests[-1]
    assert last[0] == "/v1/chat/completions" and last[1]["messages"][0]["role"] == "user"
    assert {found.text for found in generations_of(root / "data/eval/base.jsonl").values()} == {"from chat"}
    assert "chat completions only" in capsys.readouterr().out


def test_a_passing_fault_is_asked_again(root: Path) -> None:
    with serve(root, statuses=[503]):
        main(root, "base")
    assert len(generations_of(root / "data/eval/base.jsonl")) == 4


def test_what_cannot_work_is_named(root: Path) -> None:
    with serve(root, name="other"), pytest.raises(ParleyError, match="serves 'other', and 'base' is wanted"):
        main(root, "base")
    with serve(root, statuses=[401]):
        with pytest.raises(ParleyError, match=r"/v1: HTTP 401 for model 'base'") as refused:
            main(root, "base")
        assert "private" not in str(refused.value)
    use(root, "openai_http")
    with pytest.raises(ParleyError, match=r'generate.endpoint: found "", but generate.backend is openai_http'):
        main(root, "base")
    assert not (root / "data/eval/base.jsonl").exists()


def test_a_server_that_is_not_there_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.inference.serving.TRIES", 0)
    use(root, "openai_http", "http://127.0.0.1:9/v1")
    with pytest.raises(ParleyError, match=r"127.0.0.1:9/v1: no connection: is the server of generate.endpoint up"):
        main(root, "base")
