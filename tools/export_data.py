"""make export-data FORMAT=sharegpt|openai|alpaca OUT=...: the splits as files that other programs read.

OUT/{train,val,test}.jsonl, one conversation a row, in the file's order, redacted as data/splits is. What a format
can't hold is left out and counted: Alpaca has no tools, OpenAI wants one answer to each call.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonlines

from parley.conversation import Conversation, from_sharegpt, to_chat, to_sharegpt
from parley.errors import ParleyError, near_misses
from parley.files import publish
from parley.jsonl import rows_of
from parley.validation.splits import SPLITS
from tools import check_elsewhere, told

Row = dict[str, Any]


def as_sharegpt(conversation: Conversation) -> Row:
    """A row as FastChat and LLaMA-Factory have it."""
    row = to_sharegpt(conversation)
    return {key: row[key] for key in ("id", "conversations", "system", "tools") if row[key]}


def as_openai(conversation: Conversation) -> Row | None:
    """A row of OpenAI's fine-tuning files; None when one answer stands for several calls."""
    messages = to_chat(conversation)
    waiting: list[str] = []
    for place, message in enumerate(messages):
        if message["role"] == "tool":
            if not waiting:
                return None
            message["tool_call_id"] = waiting.pop(0)
            continue
        if waiting:
            return None
        for number, call in enumerate(message.get("tool_calls", ())):
            waiting.append(f"call_{place}_{number}")
            arguments = json.dumps(call["function"]["arguments"], ensure_ascii=False)
            call |= {"id": waiting[-1], "function": {**call["function"], "arguments": arguments}}
    tools = json.loads(conversation.tools or "[]")
    return {"messages": messages} | ({"tools": tools} if tools else {})


def as_alpaca(conversation: Conversation) -> Row | None:
    """A row of instruction and output, earlier questions in `history`; None for other than question and answer."""
    turns = conversation.turns
    roles = [turn.role for turn in turns]
    if roles != ["user", "assistant"] * (len(turns) // 2) or not turns or any(turn.calls for turn in turns):
        return None
    pairs = [[asked.text, said.text] for asked, said in zip(turns[::2], turns[1::2], strict=True)]
    *history, (question, answer) = pairs
    row: Row = {"instruction": question, "input": "", "output": answer, "system": conversation.system}
    return row | ({"history": history} if history else {})


FORMATS: dict[str, Callable[[Conversation], Row | None]] = {
    "sharegpt": as_sharegpt,
    "openai": as_openai,
    "alpaca": as_alpaca,
}


def export(root: Path, name: str, out: Path) -> dict[str, Counter[str]]:
    """Writes the three files; split -> how many conversations were written and left out."""
    if name not in FORMATS:
        raise ParleyError(f"FORMAT={name!r}: no such format{near_misses(name, FORMATS)}")
    check_elsewhere(root, out, "OUT", "data")
    counts: dict[str, Counter[str]] = {}
    for split in SPLITS:
        counts[split] = Counter(written=0, left_out=0)
        with publish(out / f"{split}.jsonl") as made, jsonlines.open(made, "w", dumps=_dumps) as writer:
            for _, row in rows_of(root / f"data/splits/{split}.jsonl"):
                found = FORMATS[name](from_sharegpt(row))
                counts[split]["written" if found else "left_out"] += 1
                if found:
                    writer.write(found)
    return counts


def _dumps(row: object) -> str:
    return json.dumps(row, ensure_ascii=False)


def main() -> None:
    name, out = sys.argv[1:]
    with told("export-data", folder="OUT"):
        if not out:
            raise ParleyError("OUT= is missing: make export-data FORMAT=openai OUT=../for-others")
        for split, count in export(Path(), name, Path(out)).items():
            left_out = f", {count['left_out']} that {name} can't hold left out" if count["left_out"] else ""
            print(f"export-data: {Path(out) / split}.jsonl: {count['written']} conversations{left_out}")


if __name__ == "__main__":
    main()
