"""Plug-ins by name: a name in params.yaml is the stem of a file in one of parley's folders."""

import importlib
from pathlib import Path
from types import ModuleType

from parley.errors import ParleyError, near_misses

_HERE = Path(__file__).parent


def plugin_names(folder: str, suffix: str = ".py") -> list[str]:
    """Sorted stems of the plug-ins in parley/<folder>."""
    return sorted(p.stem for p in (_HERE / folder).glob(f"*{suffix}") if not p.stem.startswith("_"))


def plugin(folder: str, name: str, *, key: str) -> ModuleType:
    """The module parley/<folder>/<name>.py; `key` is the parameter that asked for it, for the error."""
    names = plugin_names(folder)
    if name not in names:
        raise ParleyError(f"params.yaml: {key}: no {name!r} in parley/{folder}/{near_misses(name, names)}")
    return importlib.import_module(f"parley.{folder}.{name}")


def plugin_file(folder: str, name: str, suffix: str, *, key: str) -> Path:
    """The path of parley/<folder>/<name><suffix>: a template or a rubric."""
    names = plugin_names(folder, suffix)
    if name not in names:
        raise ParleyError(f"params.yaml: {key}: no {name!r} in parley/{folder}/{near_misses(name, names)}")
    return _HERE / folder / f"{name}{suffix}"
