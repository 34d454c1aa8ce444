"""What a file of JSON looks like from its first bytes: the keys of its first record, and shapes that hold no chat."""

import re
from functools import lru_cache
from pathlib import Path

import msgspec

from parley.ingestion.json_syntax import DECODE_ERRORS, why_undecoded
from parley.ingestion.reading import HEAD, pieces_of

# Shapes that people come across, and that hold no conversation to learn: what they are, and some of their keys.
FOREIGN = {
    "preference pairs, which need another kind of training": {"chosen", "rejected"},
    "a voice simulation of tau2-bench, audio without messages": {"ticks"},
    "tau-bench's few-shot text, which has lost its tool calls": {"messages_display"},
    "OpenAssistant's trees, in which each branch is a conversation": {"message_tree_id"},
    "ToolBench's search trees": {"tree", "answer_generation"},
    "a SWE-agent run": {"trajectory", "history"},
    "BFCL's questions without answers": {"question", "function"},
    "BFCL's questions of several turns": {"question", "involved_classes"},
    "BFCL's answers without questions": {"ground_truth"},
    "an index of tau2-bench's runs, which are in other files": {"info", "tasks", "timestamp"},
    "tau2-bench's tasks, which are no runs": {"user_scenario", "evaluation_criteria"},
    "Simia's tools, which go with runs": {"tools_config_1"},
    "OpenAssistant's single messages": {"message_id", "parent_id"},
    "Anthropic's statements to agree with, without {{name}}": {"statement", "answer_matching_behavior"},
    "texts with marked spans": {"full_text", "spans"},
}


@lru_cache(maxsize=4)  # every format looks at the same head
def shape_of(head: bytes) -> frozenset[str]:
    """The keys of the first record in the head of a file, three levels deep: {"id", "messages", "messages[].role"}.

    The record is the root object, or the first element of the root list; it may be longer than `head`.
    """
    shape: set[str] = set()
    stack: list[str] = []  # what the keys of each open object or list begin with
    outside = 0  # brackets around the record
    here, string = "", ""
    for token in re.finditer(rb'"((?:[^"\\]++|\\.)*+)"|[\[\]{}:]', head, re.DOTALL):
        text = token[0]
        if text[:1] == b'"':
            string = token[1].decode(errors="replace")
        elif text == b":" and 0 < len(stack) < 8:  # the names of deeper ones would grow with each level
            here = f"{stack[-1]}.{string}" if stack[-1] else string
            if here.count(".") < 3:
                shape.add(here)
        elif text == b"{":
            stack.append(here)
        elif text == b"[":
            outside = outside or not stack
            here = f"{here}[]" if 0 < len(stack) < 8 else here if stack else ""
            stack.append(here)
        elif text in b"]}":
            del stack[-1:]
            if len(stack) <= outside:
                break
            here = stack[-1]
    return frozenset(shape)


def described(path: Path, head: bytes) -> str:
    """What a file that no format recognises looks like: what breaks it, or its first record's keys, never a value."""
    if head.lstrip()[:1] in (b"[", b"{") and path.stat().st_size <= HEAD:
        whole = b"".join(pieces_of(path))
        if not (is_json(whole) or is_json(whole.split(b"\n")[0])):  # one document, or one a line
            return " ".join(why_undecoded(whole))
    shape = shape_of(head)
    keys = sorted(key for key in shape if "." not in key) or sorted(shape)  # a key may have a dot of its own
    start = head.lstrip()[:1]
    if keys and start in (b"[", b"{"):
        kind = next((f" ({kind})" for kind, known in FOREIGN.items() if known <= shape), "")
        return f"its first record has the keys {', '.join(keys[:12])}{kind}"
    return "a JSON list without records" if start == b"[" else "no JSON object" if start != b"{" else "an empty object"


def is_json(document: bytes) -> bool:
    """Whether the bytes are one whole JSON value."""
    try:
        msgspec.json.decode(document)
    except DECODE_ERRORS:
        return False
    return True
