"""The generated parts of the docs, each between its two marks; tests/test_pages.py holds them against the code.

    python -m tools.pages [params] [walk] [encode] [memory] [sessions] [sessions.trained]     all without a name

docs/params.md: every key of params.yaml. docs/walk.md: one record of data/samples/persona at each arrow, really walked.
docs/encode.md: the first examples of data/samples/generic.
docs/memory.md: which models fit which GPU. docs/sessions.md: what tools print (tools/sessions.py).
"""

import io
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from parley.conversation import Conversation, from_sharegpt
from parley.files import publish
from parley.formats import sharegpt
from parley.jsonl import rows_of
from parley.params import read_section
from tools import memory, sessions

HERE = Path(__file__).parents[1]
END = "<!-- end -->"
KEY = re.compile(r"( *)([\w]+):(?: (.*))?")


def params() -> str:
    """A table for each section, from the comments in params.yaml."""
    lines: list[str] = []
    about: list[str] = []
    path: list[str] = []
    for line in (HERE / "params.yaml").read_text(encoding="utf-8").splitlines():
        text, found = line.strip(), KEY.fullmatch(line)
        if text.startswith("#"):
            about.append(text[1:].strip())
        elif text.startswith("- "):
            head, _, rest = lines[-1].removesuffix(" |").rpartition(" | ")
            name, _, value = head.rpartition(" | ")
            lines[-1] = f"{name} | {f'{value}, ' if value else ''}{_cell(text[2:])} | {rest} |"
        elif found:
            depth, key, value = len(found[1]) // 2, found[2], found[3] or ""
            path[depth:] = [key]
            words = " ".join(about).replace("|", "\\|")
            if depth == 0 and not value:
                lines += ["", f"## {key}", "", words, "", "| key | value | what it does |", "|---|---|---|"]
            elif depth == 0:
                lines += [f"`{key}`, here `{value}`: {words}", ""]
            else:
                lines.append(f"| `{'.'.join(path[1:])}` | {_cell(value)} | {words} |")
        if not text.startswith("#"):
            about = []
    return "\n".join(lines).strip()


def _cell(value: str) -> str:
    return f"`{value}`" if value else ""


def walk() -> str:
    """The parts of docs/walk.md from a raw message to token ids."""
    from stages import convert, ingest, validate

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "params.yaml").write_bytes((HERE / "params.yaml").read_bytes())
        (root / "data").mkdir()
        (root / "data/samples").symlink_to(HERE / "data/samples")
        (root / "data/quality.jsonl").touch()
        for stage in (ingest, convert, validate):
            stage.main(root)
        return "\n\n".join(f"{words}\n\n{record}".rstrip() for words, record in _arrows(root))


def _arrows(root: Path) -> Iterator[tuple[str, str]]:
    rows = [row for _, row in rows_of(root / "data/splits/train.jsonl") if len(row["conversations"]) == 2]
    rows = [row for row in rows if "part 2" not in row["source"]]  # which was cut off, and is no whole JSON
    row = min(rows, key=lambda row: (len(row["conversations"][0]["value"]), row["id"]))
    source, _, line = row["source"].rpartition(":")
    messages = [message for _, message in rows_of(root / "data/interim/messages.jsonl")]
    at = next(place for place, message in enumerate(messages) if message["source"] == row["source"])
    raw = json.loads((HERE / "data/samples/persona" / source).read_bytes())["messages"]
    as_exported = next(message for message in raw if message["id"] == messages[at]["id"])
    yield f"**raw**, `{source}`, line {line} (empty fields left out):", _json(_full(as_exported))
    yield "—**ingest**→ a message, `data/interim/messages.jsonl`:", _json(messages[at])
    yield "and the answer of the person who is learnt:", _json(messages[at + 1])
    yield "—**convert**→ a conversation, `data/sharegpt/`; names are pseudonyms now:", _json(row)
    yield (
        "—**validate**→ the same row, unchanged, in `data/splits/train.jsonl`: checked, no duplicate, its split drawn.",
        "",
    )
    reject = next(row for _, row in rows_of(root / "data/rejects/convert.jsonl"))
    yield "A row that was dropped, `data/rejects/convert.jsonl`:", _json(reject)
    yield "—**encode**→ token ids; what is trained stands between ⟦ and ⟧:", _previewed(iter([from_sharegpt(row)]))


def encode() -> str:
    """The first two conversations of a sample as they are trained on."""
    file = HERE / "data/samples/generic/sharegpt.jsonl"
    return _previewed(row for row in sharegpt.read(file, file.name) if isinstance(row, Conversation))


def _previewed(conversations: Iterator[Conversation]) -> str:
    """The first two as `make preview` shows them, with the tokenizer of a small corpus."""
    from rich.console import Console

    from parley.embedded import corpus
    from parley.embedded.model import train_tokenizer
    from parley.encoding.chat import template_of
    from parley.modeling.families import read_template
    from stages.encode import Encode
    from tools.preview import first, print_examples

    tokenizer = train_tokenizer(corpus(42, 600), read_template("chatml", HERE)[1])
    console = Console(file=(out := io.StringIO()), width=1000, highlight=False, color_system=None)
    print_examples(first(template_of(tokenizer), read_section(HERE, "encode", Encode), conversations, 2), console)
    return "```\n" + "\n".join(line.rstrip() for line in out.getvalue().strip().splitlines()) + "\n```"


def _full(value: Any) -> Any:
    """Without what is empty, null or false."""
    if isinstance(value, dict):
        return {key: _full(inner) for key, inner in value.items() if inner}
    return [_full(inner) for inner in value] if isinstance(value, list) else value


def _json(row: Any) -> str:
    text = json.dumps(row, ensure_ascii=False)
    return f"```json\n{text}\n```"


PAGES: dict[str, Callable[[], str]] = {
    "params": params,
    "walk": walk,
    "encode": encode,
    "memory": lambda: "\n".join(memory.table()),
    "sessions": sessions.without_model,
    "sessions.trained": sessions.with_model,
}


def page_of(name: str) -> Path:
    """The page that holds this part."""
    return HERE / f"docs/{name.partition('.')[0]}.md"


def parts(name: str) -> tuple[str, str, str]:
    """What stands before, between and after the marks of a part."""
    text = page_of(name).read_text(encoding="utf-8")
    mark = f"<!-- python -m tools.pages {name} -->"
    before, _, rest = text.partition(f"{mark}\n")
    between, _, after = rest.partition(f"\n{END}")
    return f"{before}{mark}\n", between, f"\n{END}{after}"


if __name__ == "__main__":
    for part in sys.argv[1:] or PAGES:
        before, _, after = parts(part)
        with publish(page_of(part)) as made:
            made.write_text(before + PAGES[part]() + after, encoding="utf-8")
