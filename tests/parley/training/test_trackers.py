"""Trackers: a name that nobody knows, a package or a key that is missing."""

from pathlib import Path

import pytest

from parley.errors import ParleyError
from parley.training.trackers import _NEEDS, check_ready


def test_every_tracker_of_transformers_is_known() -> None:
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    assert _NEEDS.keys() == INTEGRATION_TO_CALLBACK.keys()


def test_a_missing_key_is_named_and_a_login_or_offline_will_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with pytest.raises(ParleyError, match="wandb needs WANDB_API_KEY or WANDB_MODE in the environment"):
        check_ready(["wandb"])
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password abc\n")
    (tmp_path / ".netrc").chmod(0o600)
    for setting in ("", "WANDB_MODE", "WANDB_API_KEY"):
        if setting:
            (tmp_path / ".netrc").unlink(missing_ok=True)
            monkeypatch.setenv(setting, "offline")
        with pytest.raises(ParleyError) as stop:
            check_ready(["wandb", "flyte"])
        assert "WANDB_API_KEY" not in str(stop.value)


def test_a_name_that_nobody_has_and_a_package_that_is_missing_are_told_together() -> None:
    with pytest.raises(ParleyError) as stop:
        check_ready(["tensorbord", "codecarbon"])
    assert "no tracker 'tensorbord'; did you mean 'tensorboard'" in str(stop.value)
    assert "codecarbon is not installed: `.venv/bin/pip install codecarbon`" in str(stop.value)
    check_ready(["tensorboard"])
