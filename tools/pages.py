"""The generated parts of the docs, each between its two marks; tests/test_pages.py holds them against the code.

    python -m tools.pages [params] [walk] [sessions]     all without a name

docs/params.md: every key of params.yaml. docs/walk.md: one record of data/samples/persona at each arrow, really walked.
docs/sessions.md: what tools print, by running them on data/samples/generic, without colours.
"""

import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from parley.conversation import from_sharegpt
from parley.evaluation import Generation, generation_row
from parley.files import publish
from parley.jsonl import rows_into, rows_of
from parley.params import read_section

HERE = Path(__file__).parents[1]
END = "<!-- end -->"
KEY = re.compile(r"( *)([\w]+):(?: (.*))?")
SMALL = {"base": {"steps": 12, "conversations": 600}}  # enough for the tools that look at data only


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
    yield "—**encode**→ token ids; what is trained stands between ⟦ and ⟧:", _encoded(root, row)


def _encoded(root: Path, row: dict[str, Any]) -> str:
    """As `make preview` shows it, with the tokenizer of a small corpus."""
    from rich.console import Console

    from parley.embedded import corpus
    from parley.embedded.model import train_tokenizer
    from parley.encoding.chat import template_of
    from parley.modeling.families import read_template
    from stages.encode import Encode
    from tools.preview import first, print_examples

    tokenizer = train_tokenizer(corpus(42, 600), read_template("chatml", root)[1])
    console = Console(file=(out := io.StringIO()), width=1000, highlight=False, color_system=None)
    settings = read_section(root, "encode", Encode)
    print_examples(first(template_of(tokenizer), settings, iter([from_sharegpt(row)]), 1), console)
    return "```\n" + "\n".join(line.rstrip() for line in out.getvalue().strip().splitlines()) + "\n```"


def _full(value: Any) -> Any:
    """Without what is empty, null or false."""
    if isinstance(value, dict):
        return {key: _full(inner) for key, inner in value.items() if inner}
    return [_full(inner) for inner in value] if isinstance(value, list) else value


def _json(row: Any) -> str:
    text = json.dumps(row, ensure_ascii=False)
    return f"```json\n{text}\n```"


COMMANDS = (  # that need no trained model
    "make recipe NAME=generic",
    "make doctor",
    "make memory MODEL=Qwen2.5-7B ARGS='--device cuda --gb 24'",
    "make export-data FORMAT=openai OUT=../for-others",
    "make judge-plan",
)


def sessions() -> str:
    """What the commands print in a fresh copy of the project, with its data walked."""
    from ruamel.yaml import YAML

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "parley"
        _copy(root)
        text = []
        for command in COMMANDS:
            said = _run(root, command)
            if command.startswith("make recipe"):
                yaml = YAML()
                values = yaml.load((root / "params.yaml").read_text(encoding="utf-8"))
                for section, changes in SMALL.items():
                    values[section] |= changes
                yaml.dump(values, root / "params.yaml")
                _run(root, "python -m stages.ingest && python -m stages.convert && python -m stages.validate")
                _answer(root)
            text.append(f"```console\n$ {command}\n{_everywhere(said)}\n```")
        return "\n\n".join(text)


def _answer(root: Path) -> None:
    """The references in place of both models' answers: of these, what judging costs depends on the length only."""
    for model in ("base", "tuned"):
        with rows_into(root / f"data/eval/{model}.jsonl") as add:
            for _, row in rows_of(root / "data/eval/cases.jsonl"):
                add(generation_row(Generation(row["id"], row["reference"]["value"], "stop", 1, (-1.0,))))


def _copy(root: Path) -> None:
    """The project's files as a repository of their own."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=HERE, capture_output=True, text=True, check=True).stdout
    for name in names.split("\0"):
        if (HERE / name).is_file() and not name.startswith("tests/"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes((HERE / name).read_bytes())
    (root / ".venv").symlink_to(sys.prefix)
    for lock in (root / "requirements").glob("*.txt"):
        os.utime(lock, (0, 0))  # older than .venv: nothing is installed
    identity = "-c user.name=parley -c user.email=parley@localhost"
    _run(root, f"git init -q && git add -A && git {identity} commit -qm copy")


def _run(root: Path, command: str) -> str:
    kept = {key: value for key, value in os.environ.items() if not re.search("KEY|TOKEN|DVC_ROOT|^MAKE", key)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    command = re.sub(r"^make ", "make READY=.venv LOCK=cpu ", command)
    done = subprocess.run(
        command, shell=True, cwd=root, env={**kept, "PATH": path, "COLUMNS": "110"}, capture_output=True, text=True
    )
    return (done.stdout + done.stderr).rstrip()


def _everywhere(text: str) -> str:
    """What differs from machine to machine, as an ellipsis."""
    text = re.sub(r"[\d.]+ of [\d.]+ GB free|[\d.]+ GB free", "… GB free", text)
    text = re.sub(r"(?m)^(ok      (?:python|system|gpu)\s+).*", r"\1…", text)
    text = re.sub(r"\d+ as in requirements", "… as in requirements", text)
    text = re.sub(r"(?m)^\S+ +(memory|port) .*\n( +-> .*\n)?", "", text)
    return re.sub(r"(?m)[ \t]+$", "", text)


PAGES: dict[str, Callable[[], str]] = {"params": params, "walk": walk, "sessions": sessions}


def parts(name: str) -> tuple[str, str, str]:
    """What stands before, between and after the marks of docs/NAME.md."""
    text = (HERE / f"docs/{name}.md").read_text(encoding="utf-8")
    mark = f"<!-- python -m tools.pages {name} -->"
    before, _, rest = text.partition(f"{mark}\n")
    between, _, after = rest.partition(f"\n{END}")
    return f"{before}{mark}\n", between, f"\n{END}{after}"


if __name__ == "__main__":
    for page in sys.argv[1:] or PAGES:
        before, _, after = parts(page)
        with publish(HERE / f"docs/{page}.md") as made:
            made.write_text(before + PAGES[page]() + after, encoding="utf-8")
