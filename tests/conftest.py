"""What many tests need. Heavy imports sit inside the fixtures."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from tiny_models import MODEL_YAML

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # two processes share two cores; before torch is loaded
os.environ.setdefault("OMP_NUM_THREADS", "1")  # `make test` runs two processes
hypothesis.settings.register_profile("parley", deadline=None)  # on a busy machine anything may be slow
hypothesis.settings.load_profile("parley")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and their children, ignore it

PARAMS = f"""\
seed: 42
{MODEL_YAML}base:
  steps: 25
  conversations: 600
"""


def without_keys() -> None:
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "DVC_ROOT"):
        os.environ.pop(name, None)


without_keys()


@pytest.fixture(autouse=True)
def no_real_keys() -> Iterator[None]:
    """No test pays a real judge or writes into a run around it, whatever the environment or another test holds."""
    yield
    without_keys()


@pytest.fixture
def judge_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key for every client, and no wait to speak of before another try."""
    from parley.judging import calling

    monkeypatch.setenv("GEMINI_API_KEY", "AIza-not-a-real-key")
    monkeypatch.setenv("OPENAI_API_KEY", "AIza-not-a-real-key")
    monkeypatch.setattr(calling, "FIRST_WAIT", 0.01)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models/base folder that the base stage really made, with too few steps to be any good."""
    from stages import base

    root = tmp_path_factory.mktemp("tiny_base")
    (root / "params.yaml").write_text(PARAMS, encoding="utf-8")
    base.main(root)
    return root / "models" / "base"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The quick files first, the longest right after them; tests for a GPU only where there is one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path in slow, item.path.name != "test_recipes_end_to_end.py"))
    if any(item.get_closest_marker("gpu") for item in items):
        import torch

        if not torch.cuda.is_available():
            for item in items:
                if item.get_closest_marker("gpu"):
                    item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
