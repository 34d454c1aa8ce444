"""The names of an earlier script, over the real client and a loopback server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

import parley
from parley.jsonl import write_jsonl
from tests.loopback import JudgeServer, reply, status, verdict


class Form(BaseModel):
    reason: str
    score: int


pytestmark = pytest.mark.usefixtures("judge_key")


def judge(root: Path, server: JudgeServer) -> parley.GeminiModel:
    return parley.GeminiModel("gemini-test", endpoint=server.url, root=root)


def held_out_file(root: Path) -> Path:
    write_jsonl(root / "test.jsonl", parley.create_sample_test_data())
    return root / "test.jsonl"


def test_held_out_answers_are_judged_and_what_has_no_score_is_counted(tmp_path: Path, tiny_base: Path) -> None:
    with JudgeServer(otherwise=lambda prompt: reply("prose") if "spider" in prompt else reply(verdict(5))) as server:
        evaluator = parley.MultiTurnEvaluator(
            tiny_base, judge=judge(tmp_path, server), metrics=["coherence", "hallucination"], max_new_tokens=4
        )
        found = evaluator.evaluate_on_dataset(held_out_file(tmp_path), test_size=3)
        calls = len(server.requests)
        again = evaluator.evaluate_on_dataset(tmp_path, test_size=3)
        assert len(server.requests) == calls
    assert again == found
    coherence = found["coherence"]
    assert coherence["total"] == 3 and coherence["n"] + sum(coherence["unscored"].values()) == 3
    assert coherence["unscored"] == {"bad_json": 1} and coherence["value"] == 0.5
    assert found["hallucination"]["value"] is None
    assert sum(found["hallucination"]["unscored"].values()) == 3
    assert len(found["rows"]) == 6


@pytest.mark.parametrize("name", ["train.jsonl", "val.jsonl", "train_small.jsonl"])
def test_training_data_are_refused(tmp_path: Path, name: str) -> None:
    evaluator = parley.MultiTurnEvaluator("nowhere", judge=parley.GeminiModel(root=tmp_path))
    with pytest.raises(parley.ParleyError, match="only held-out data are judged"):
        evaluator.evaluate_on_dataset(tmp_path / name)
    with pytest.raises(parley.ParleyError, match=r"mine.jsonl is not there"):
        evaluator.evaluate_on_dataset(tmp_path / "mine.jsonl")


def test_the_judge_replies_in_the_form_asked_for_and_once(tmp_path: Path) -> None:
    with JudgeServer([reply(verdict(3, "so"))]) as server:
        model = judge(tmp_path, server)
        assert model.get_model_name() == "gemini-test"
        assert model.generate("How good?", Form) == Form(reason="so", score=3)
        assert model.generate("How good?", Form) == Form(reason="so", score=3)
        assert len(server.requests) == 1


def test_the_key_is_tried_by_one_call_and_the_fault_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with JudgeServer([reply('{"reason": "ok"}'), status(400, reason="API_KEY_INVALID"), status(503)]) as server:
        model = judge(tmp_path, server)
        assert [parley.validate_gemini_api(model) for _ in range(3)] == ["ok", "http_403", "http_503"]
        assert len(server.requests) == 3
        monkeypatch.delenv("GEMINI_API_KEY")
        monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
        assert parley.validate_gemini_api(model) == "no GEMINI_API_KEY"
        with pytest.raises(parley.ParleyError, match="no GEMINI_API_KEY: put a key"):
            model.generate("How good?", Form)
        assert len(server.requests) == 3


def test_sample_data_are_conversations_that_end_with_an_answer() -> None:
    rows = parley.create_sample_test_data()
    assert len(rows) == 3 and max(len(row["conversations"]) for row in rows) == 4
    assert {row["conversations"][-1]["from"] for row in rows} == {"gpt"}
    assert json.loads(json.dumps(rows)) == rows


def test_importing_the_names_opens_no_socket_and_loads_nothing_heavy() -> None:
    code = """
import sys
sys.addaudithook(lambda event, args: sys.exit(event) if event in ("socket.connect", "socket.getaddrinfo") else None)
import parley
parley.MultiTurnEvaluator("x", metrics=["toxicity"]); parley.create_sample_test_data()
print(sorted({"torch", "deepeval", "google.generativeai"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
