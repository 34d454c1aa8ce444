"""What many tests need. Heavy imports sit inside the fixtures."""

from pathlib import Path

import pytest

PARAMS = """\
seed: 42
model:
  name: parley-tiny
  revision: ""
  trust_remote_code: false
  template: auto
  threads: 1
base:
  steps: 25
  conversations: 600
"""


@pytest.fixture(autouse=True)
def no_real_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test pays a real judge, whatever the environment holds."""
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models/base folder that the base stage really made, with too few steps to be any good."""
    from stages import base

    root = tmp_path_factory.mktemp("tiny_base")
    (root / "params.yaml").write_text(PARAMS, encoding="utf-8")
    base.main(root)
    return root / "models" / "base"
