"""Rows as LLaMA-Factory takes them: what it would skip is left out and counted, what it reads otherwise is rewritten.

Its way with rows: src/llamafactory/data/converter.py and formatter.py of https://github.com/hiyouga/LLaMA-Factory
(0.9.5). Sides must alternate; a call's text stands before <tool_call>; tools have a description and parameters.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import jsonlines

from parley.conversation import Conversation, Turn, from_sharegpt, to_sharegpt
from parley.errors import ParleyError
from parley.files import publish
from parley.formats import sharegpt
from parley.ingestion.reading import Rejected
from parley.jsonl import rows_of


@dataclass(slots=True)
class Count:
    """Rows of one file: written, and left out by reason, with the first place of each."""

    written: int = 0
    weighted: int = 0  # of those, rows with a turn's weight, which LLaMA-Factory doesn't know
    left_out: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def leave(self, reason: str, source: str) -> None:
        """Counts a row that is not written."""
        self.left_out[reason] += 1
        self.first.setdefault(reason, source)


def read_split(path: Path) -> Iterator[tuple[str, Conversation]]:
    """(file:line, conversation) for each row of a split."""
    for number, row in rows_of(path):
        yield f"{path}:{number}", from_sharegpt(row)


def read_file(path: Path, count: Count) -> Iterator[tuple[str, Conversation]]:
    """(file:line, conversation) for each row of a ShareGPT file that can be read."""
    for record in sharegpt.read(path, path.name):
        if isinstance(record, Conversation):
            yield record.source, record
        elif isinstance(record, Rejected):
            count.leave(f"{record.code} {record.reason}", record.source)


def write_rows(path: Path, rows: Iterable[tuple[str, Conversation]], count: Count, *, joined: bool) -> None:
    """A file of rows that LLaMA-Factory takes, each and every one."""
    with publish(path) as made, jsonlines.open(made, "w", dumps=_dumps) as writer:
        for source, conversation in rows:
            conversation = replace(conversation, turns=tuple(one_answer_each(conversation.turns, joined=joined)))
            if reason := skipped(conversation):
                count.leave(reason, source)
                continue
            writer.write(as_row(conversation))
            count.written += 1
            count.weighted += any(turn.weight != 1 for turn in conversation.turns)
        if not count.written:
            raise ParleyError(f"{path.name}: no row is left of {count.left_out.total()}: {described(count)}")


def one_answer_each(turns: Iterable[Turn], *, joined: bool) -> Iterator[Turn]:
    """The answers of several calls as one turn, since sides must alternate: joined as Qwen's template does, or a list.

    The join is the one of LLaMA-Factory's own reader of OpenAI files.
    """
    for role, run in groupby(turns, key=lambda turn: turn.role):
        found = list(run)
        if role != "tool" or len(found) == 1:
            yield from found
            continue
        texts = [turn.text for turn in found]
        yield Turn("tool", "\n</tool_response>\n<tool_response>\n".join(texts) if joined else _dumps(texts))


def skipped(conversation: Conversation) -> str:
    """Why LLaMA-Factory would skip the row or stop at it; "" if it takes it."""
    sides = [turn.role == "assistant" for turn in conversation.turns]
    if sides[:1] != [False]:
        return "does not begin with the user"
    if any(side != bool(place % 2) for place, side in enumerate(sides)):
        return "two turns of one side in a row"
    if not sides[-1]:
        return "ends with the user"
    if any(turn.calls and "<tool_call>" in turn.text for turn in conversation.turns):
        return "<tool_call> in the text beside a call"
    try:
        is_list = isinstance(json.loads(conversation.tools or "[]"), list)
    except ValueError:
        is_list = False
    return "" if is_list else "tools are no JSON list"


def as_row(conversation: Conversation) -> dict[str, Any]:
    """The row; text beside a call goes before its <tool_call>, where LLaMA-Factory looks for it."""
    row = to_sharegpt(conversation)
    row["conversations"] = [{key: part[key] for key in ("from", "value")} for part in row["conversations"]]
    for turn, part in zip(conversation.turns, row["conversations"], strict=True):
        if turn.calls:
            body = part["value"].rpartition("\n")[2].replace("</", "<\\/")  # JSON still, and no tag that ends early
            part["value"] = f"{turn.text}\n<tool_call>{body}</tool_call>" if turn.text else body
    tools = [whole(tool) for tool in json.loads(conversation.tools or "[]")]
    row["tools"] = _dumps(tools) if tools else ""
    return {key: row[key] for key in ("id", "conversations", "system", "tools")}


def whole(tool: Any) -> Any:
    """A tool with the keys that LLaMA-Factory reads without looking whether they are there."""
    inner = tool.get("function", tool) if isinstance(tool, dict) else tool
    if not isinstance(inner, dict):
        return tool
    schema = {"type": "object", "properties": {}} | (inner.get("parameters") or {})
    return {"description": "", **inner, "parameters": schema}


def described(count: Count) -> str:
    """Rows left out, by reason."""
    reasons = [f"{rows} {reason} (first: {count.first[reason]})" for reason, rows in count.left_out.most_common()]
    return "; ".join(reasons)


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
