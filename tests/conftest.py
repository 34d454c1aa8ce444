"""What many tests need. Heavy imports sit inside the fixtures."""

import os
from pathlib import Path

import pytest
from tiny_models import MODEL_YAML

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `parley.stage.run` does, before torch is loaded

PARAMS = f"""\
seed: 42
{MODEL_YAML}base:
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The quick tests first; those for a GPU only where there is one."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
    if any(item.get_closest_marker("gpu") for item in items):
        import torch

        if not torch.cuda.is_available():
            for item in items:
                if item.get_closest_marker("gpu"):
                    item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
