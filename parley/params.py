"""params.yaml, read: the only reader of that file.

ruamel reads YAML 1.2, because DVC writes `lr: 1e-05` there and PyYAML takes that for a string.
"""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from parley.errors import ParleyError, near_misses

S = TypeVar("S", bound="Section")


class Section(BaseModel):
    """A section of params.yaml, typed beside its reader: no defaults, no unknown keys, no guessed types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML 1.2 mapping, as plain Python values."""
    try:
        value = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        remedy = ": `make recipe NAME=persona` writes one" if path.name == "params.yaml" else ""
        raise ParleyError(f"{path} is not there{remedy}") from None
    except (YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ParleyError(f"{where}: not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(value, dict):
        raise ParleyError(f"{path}: expected sections at the top, found {type(value).__name__}")
    return value


def read_section(root: Path, name: str, kind: type[S]) -> S:
    """Section `name` of root/params.yaml as a checked `kind`; every wrong key is named at once."""
    path = root / "params.yaml"
    values = read_yaml(path)
    if name not in values:
        raise ParleyError(f"{path}: section {name!r} is missing{near_misses(name, values)}")
    return checked(kind, values[name] if values[name] is not None else {}, place=f"{path}: {name}")


def checked(kind: type[S], values: Any, *, place: str) -> S:
    """`values` as a `kind`; `place` is what every wrong key is named below, all of them at once."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ParleyError("\n".join(_line(place, kind, detail) for detail in error.errors())) from None


def read_value(root: Path, name: str, kind: type) -> Any:
    """A top-level value of root/params.yaml (`seed`, `recipe`), its type checked."""
    path = root / "params.yaml"
    values = read_yaml(path)
    if name not in values:
        raise ParleyError(f"{path}: {name!r} is missing{near_misses(name, values)}")
    if type(values[name]) is not kind:
        raise ParleyError(f"{path}: {name}: found {values[name]!r}, expected {kind.__name__}")
    return values[name]


def _line(place: str, kind: type[Section], detail: ErrorDetails) -> str:
    key = ".".join([place, *(str(part) for part in detail["loc"])])
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key{near_misses(str(detail['loc'][-1]), _keys_at(kind, detail['loc'][:-1]))}"
    if detail["type"] == "missing":
        return f"{key}: missing; `make recipe` writes every key with its comment"
    # An author's id is all digits, and without quotes a number; nothing at all is null.
    text = "" if detail["input"] is None else detail["input"]
    quotes = f': put it in quotes, "{text}"' if detail["type"] == "string_type" else ""
    return f"{key}: found {detail['input']!r}; {detail['msg'][0].lower()}{detail['msg'][1:]}{quotes}"


def _keys_at(kind: type[Section], place: tuple[int | str, ...]) -> list[str]:
    """Field names of the (nested) section at `place`."""
    for part in place:
        inner = kind.model_fields[str(part)].annotation
        if not (isinstance(inner, type) and issubclass(inner, Section)):
            return []
        kind = inner
    return list(kind.model_fields)
