"""Trackers: what each name of `runtime.report_to` needs, checked before training and not an hour into it."""

import importlib.util
import netrc
import os
from collections.abc import Sequence
from pathlib import Path

from parley.errors import ParleyError, near_misses

# Name of transformers' report_to -> the module that it imports, and the environment variables of which one must be set.
_NEEDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "azure_ml": ("azureml", ()),
    "clearml": ("clearml", ("CLEARML_API_ACCESS_KEY", "CLEARML_CONFIG_FILE")),
    "codecarbon": ("codecarbon", ()),
    "comet_ml": ("comet_ml", ("COMET_API_KEY", "COMET_MODE")),
    "dagshub": ("dagshub", ()),
    "dvclive": ("dvclive", ()),
    "flyte": ("flytekit", ()),
    "kubeflow": ("transformers", ("KUBEFLOW_TRAINER_SERVER_URL",)),
    "mlflow": ("mlflow", ()),
    "neptune": ("neptune", ("NEPTUNE_API_TOKEN", "NEPTUNE_MODE")),
    "swanlab": ("swanlab", ("SWANLAB_API_KEY", "SWANLAB_MODE")),
    "tensorboard": ("tensorboard", ()),
    "trackio": ("trackio", ()),
    "wandb": ("wandb", ("WANDB_API_KEY", "WANDB_MODE")),  # WANDB_MODE=offline needs no account
}


def check_ready(names: Sequence[str]) -> None:
    """Raises ParleyError for each tracker that transformers does not know, or whose package or key is missing."""
    problems = []
    for name in names:
        if name not in _NEEDS:
            problems.append(f"no tracker {name!r}{near_misses(name, _NEEDS)}")
            continue
        module, keys = _NEEDS[name]
        if importlib.util.find_spec(module) is None:
            problems.append(f"{name} is not installed: `.venv/bin/pip install {name.replace('_', '-')}`")
        if keys and not any(os.environ.get(key) for key in keys) and not (name == "wandb" and _logged_in()):
            problems.append(f"{name} needs {' or '.join(keys)} in the environment")
    if problems:
        lines = "\n".join(f"runtime.report_to: {problem}" for problem in problems)
        raise ParleyError(f"{lines}\nOr take the name out of runtime.report_to in params.yaml: no output depends on it")


def _logged_in() -> bool:
    """Whether `wandb login` left a key in ~/.netrc."""
    try:
        return netrc.netrc(Path.home() / ".netrc").authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False
