"""What several tests of tools need."""

import shutil
from pathlib import Path

import pytest
from workspace import commit_all

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git repository with the recipes and params.yaml committed."""
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    commit_all(tmp_path)
    return tmp_path
