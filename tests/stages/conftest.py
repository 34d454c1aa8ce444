"""A workspace that train and merge run in (a tiny base model, made-up examples), and a run with its report."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workspace import made_up, set_params

from parley.encoding.examples import write_examples
from tests.reported import lay


@pytest.fixture(scope="module")
def made_workspace(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that makes a folder ready for train; its keywords are changes to params.yaml."""

    def make(**changes: Any) -> Path:
        root = tmp_path_factory.mktemp("walk")
        shutil.copytree(tiny_base, root / "models/base")
        write_examples(root / "data/encoded/train.parquet", made_up("train", 20, seed=1))
        write_examples(root / "data/encoded/val.parquet", made_up("val", 5, seed=2))
        set_params(root, **changes)
        return root

    return make


@pytest.fixture(scope="session")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a report in it, shared by the tests that only look."""
    from stages import report

    root = tmp_path_factory.mktemp("walked")
    lay(root)
    report.main(root)
    return root


@pytest.fixture
def inputs(walked: Path, tmp_path: Path) -> Path:
    """A copy of the inputs, to change."""
    shutil.copytree(walked, tmp_path, dirs_exist_ok=True)
    return tmp_path
