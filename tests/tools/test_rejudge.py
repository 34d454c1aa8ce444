"""A key that comes after the stage ran is noticed."""

import json
from pathlib import Path

import pytest

from tools.rejudge import key_came


def project(root: Path, *, client: str = "gemini", result: object = None) -> Path:
    (root / "metrics").mkdir()
    (root / "params.yaml").write_text(f"judge:\n  client: {client}\n", encoding="utf-8")
    if result is not None:
        (root / "metrics/judge.json").write_text(json.dumps(result), encoding="utf-8")
    return root


NO_KEY = {"schema": 1, "status": "not_scored", "reason": "no GEMINI_API_KEY"}


@pytest.mark.parametrize("name", ["GEMINI_API_KEY", "GOOGLE_API_KEY"])
def test_a_key_that_came_is_noticed(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = project(tmp_path, result=NO_KEY)
    assert not key_came(root)
    (root / ".env").write_text(f"{name}=abc\n", encoding="utf-8")
    assert key_came(root)
    (root / ".env").unlink()
    monkeypatch.setenv(name, "abc")
    assert key_came(root)


@pytest.mark.parametrize(
    ("client", "result"),
    [
        ("gemini", None),
        ("gemini", {"schema": 1, "status": "scored"}),
        ("gemini", {"schema": 1, "status": "not_scored", "reason": "judge.client is none"}),
        ("none", NO_KEY),
    ],
)
def test_nothing_else_is_judged_again(
    tmp_path: Path, client: str, result: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "abc")
    assert not key_came(project(tmp_path, client=client, result=result))
