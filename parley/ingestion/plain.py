"""Plain rows: turns that are a role's name and a text, with nothing beside them that matters. Most rows are.

Such a row is written as it was read, only its fields and roles renamed, and never becomes a Conversation: that takes
a third of the time. Any other row goes the long way, by parley/ingestion/turns.py; both ways give the same bytes.
"""

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import msgspec

from parley.conversation import SharegptRow, SharegptTurn, sharegpt_name
from parley.ingestion.json_stream import Decode
from parley.ingestion.reading import Record
from parley.ingestion.turns import ROLES, Part, Row, tools_text

_NAMES = {name: sharegpt_name(role) for name, role in ROLES.items() if name != "function_call"}  # a call is no text
_Name = Literal[tuple(_NAMES)]  # type: ignore[valid-type]
_BACKSLASH = ord("\\")  # as bytes it would take ten times as long: Python first tries them as a number
_TEXT = (str | None, None)  # type and default


def ready(shape: frozenset[str]) -> Callable[[Decode[Record], str], Decode[Record]]:
    """Makes of a decoder a faster one, for rows like the first, whose keys are `shape` (see shape_of)."""
    place = next((key for key in ("conversations", "conversation", "messages") if key in shape), "messages")
    role, text = ("role", "content") if f"{place}[].role" in shape else ("from", "value")
    part = _only(Part, {role: ("from_", _Name), text: ("value", str)})
    turns = Annotated[list[part], msgspec.Meta(min_length=1)]  # type: ignore[valid-type]
    row_type = _only(
        Row, {place: ("turns", turns), "id": ("id", *_TEXT), "system": ("system", *_TEXT), "tools": ("tools", *_TEXT)}
    )
    as_written = role == "from"  # its turns are written with the keys that they were read with: half the objects
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(row_type).decode

    def faster(long_way: Decode[Record], name: str) -> Decode[Record]:
        stem = PurePosixPath(name).stem

        def record(element: bytes, line: int, number: int) -> Record:
            if _BACKSLASH in element and element.find(b"\\u0000") >= 0:  # the first is a tenth of the second's time
                return long_way(element, line, number)
            try:
                row = decode(element)
            except msgspec.ValidationError:
                return long_way(element, line, number)
            turns = row.turns
            if as_written:
                for turn in turns:
                    turn.from_ = _NAMES[turn.from_]
            else:
                turns = [SharegptTurn(_NAMES[turn.from_], turn.value) for turn in turns]
            system = row.system or ""
            if turns[0].from_ == "system" and system in ("", turns[0].value):
                system = turns.pop(0).value
            id = row.id or f"{stem}-{number}"
            tools = tools_text(row.tools) if row.tools else ""
            return SharegptRow(id, turns, system, tools, id, None, f"{name}:{line}")

        return record

    return faster


def _only(kind: type[msgspec.Struct], fields: dict[str, tuple[Any, ...]]) -> type[msgspec.Struct]:
    """A struct with these keys of `kind`: (attribute, type, default or none); all its others are null or absent."""
    chosen = [(one[0], one[1], _field(key, *one[2:])) for key, one in fields.items()]
    others = [one for one in msgspec.structs.fields(kind) if one.encode_name not in fields]
    nothing = [(f"no_{one.name}", None, _field(one.encode_name, None)) for one in others]
    return msgspec.defstruct(f"Plain{kind.__name__}", [*chosen, *nothing], gc=False, kw_only=True, omit_defaults=True)


def _field(key: str, default: Any = msgspec.NODEFAULT) -> Any:
    return msgspec.field(default=default, name=key)
