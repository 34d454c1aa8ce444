"""What tools print, for docs/sessions.md, by running them in a fresh copy of the project, without a key or colours.

The first sessions need no trained model and are the same everywhere. Of the others `plain` leaves what is: a model's
words, figures, verdicts and dates are not.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parley.evaluation import Generation, generation_row
from parley.jsonl import rows_of, write_jsonl
from parley.recipes import round_trip

HERE = Path(__file__).parents[1]
Settings = Mapping[str, Mapping[str, Any]]
SMALL: Settings = {"base": {"steps": 12, "conversations": 600}}  # enough for tools that look at data only
QUICK: Settings = {
    "base": {"steps": 250, "conversations": 3000},
    "train": {"epochs": 2},
    "validate": {"max_cases": 20},
    "generate": {"max_new_tokens": 24},
}
WITHOUT_MODEL = (
    "make doctor",
    "make memory MODEL=Qwen2.5-7B ARGS='--device cuda --gb 24'",
    "make export-data FORMAT=openai OUT=../for-others",
    "python -m tools.transform swap_roles data/splits/val.jsonl ../swapped.jsonl",
    "make judge-plan",
)
RUN = "make exp ARGS='-n low -S train.lr=1e-5'"
STRICT = "make exp ARGS='-n strict -S judge.threshold=0.7'"
WITH_MODEL = (
    "make compare REVS='strict low'",
    "make timing",
    "echo 'is there a tea for hungry people?' | make chat ARGS='--temperature 0 --max-new-tokens 24'",
    "make test-model ARGS='--max-new-tokens 24'",
    "make export DEST=../for-others MODEL_NAME=robin",
    "make pseudonyms",
    "make forget AUTHOR=200000000000000002",
    "make export-llamafactory NAME=mine OUT=../for-lf TEMPLATE=qwen",
    "make recipe FROM=../for-lf/examples/train_lora/mine_lora_sft.yaml FORCE=1",
)
STAGES = "python -m stages.ingest && python -m stages.convert && python -m stages.validate"
COMMIT = "git -c user.name=parley -c user.email=parley@localhost commit -qam"


def without_model() -> str:
    """Tools that look at data and settings only, on the sample of recipe generic."""
    with copy() as root:
        first = session(root, "make recipe NAME=generic")
        change(root, SMALL)
        run(root, STAGES)
        _answer(root)
        return "\n\n".join([first, *(session(root, command) for command in WITHOUT_MODEL)])


def with_model() -> str:
    """Two experiments and what comes after them, on the sample of recipe persona and a base trained for a minute."""
    with copy() as root:
        change(root, QUICK)
        run(root, f"make repro && {COMMIT} settings")
        first = session(root, RUN)
        run(root, f"git checkout -q params.yaml && {STRICT}")
        return "\n\n".join([first, *(session(root, command) for command in WITH_MODEL)])


def plain(page: str) -> list[str]:
    """Each session without figures, verdicts, what the model says and line breaks."""
    return [_plain(text) for text in re.findall(r"```console\n(.*?)```", page, re.DOTALL)]


def _plain(text: str) -> str:
    text = re.sub(r"(?m)^(make: |\(in brackets\)|\w+: not scored).*\n", "", text)
    text = re.sub(r"(?m)^.*\n(?=metrics/report.html)", "", text)  # the headline
    text = re.sub(r"(?m)^(ok|EMPTY|CIRCLE) |^( {7}['\"]).*", r"\2", text)
    text = (
        re.sub(r"(?s)^(models/merged: ).*", "", text) if "make chat" not in text else text.split("models/merged: ")[0]
    )
    text = re.sub(r"\b(yes|worse|differs|not shown|no interval|not scored)(?=\s)", "?", text)
    text = re.sub(r"\[[-+−\d][^\]\n]*\]", "#", text)  # an interval
    text = re.sub(r"\(?[-+−]?\d[\d,.:e−-]*\)?|–", "#", text)
    return " ".join(text.split())


def change(root: Path, changes: Settings) -> None:
    """Settings in params.yaml, comments and the others as they were."""
    path = root / "params.yaml"
    values = round_trip().load(path.read_text(encoding="utf-8"))
    for section, new in changes.items():
        values[section] |= new
    with path.open("w", encoding="utf-8") as handle:
        round_trip().dump(values, handle)


def session(root: Path, command: str) -> str:
    """A command, run, as a block of the page."""
    return block(command, run(root, command).replace(str(root), "…/parley"))


def block(command: str, printed: str) -> str:
    """The command and what it printed; of RUN only the summary at its end."""
    said = printed[printed.rindex("\nran: ") + 1 :] if command == RUN else printed
    return f"```console\n$ {command}\n{_everywhere(said).rstrip()}\n```"


def _answer(root: Path) -> None:
    """The references in place of both models' answers: of these, what judging costs depends on the length only."""
    for model in ("base", "tuned"):
        cases = rows_of(root / "data/eval/cases.jsonl")
        answers = (Generation(row["id"], row["reference"]["value"], "stop", 1, (-1.0,)) for _, row in cases)
        write_jsonl(root / f"data/eval/{model}.jsonl", map(generation_row, answers))


@contextmanager
def copy() -> Iterator[Path]:
    """The project's files as a repository of their own."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "parley"
        names = subprocess.run(["git", "ls-files", "-z"], cwd=HERE, capture_output=True, text=True, check=True).stdout
        for name in names.split("\0"):
            if (HERE / name).is_file() and not name.startswith("tests/"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes((HERE / name).read_bytes())
        (root / ".venv").symlink_to(sys.prefix)
        for lock in (root / "requirements").glob("*.txt"):
            os.utime(lock, (0, 0))  # older than .venv: nothing is installed
        run(root, f"git init -q && git add -A && {COMMIT} copy")
        yield root


def run(root: Path, command: str) -> str:
    """What a command prints."""
    kept = {key: value for key, value in os.environ.items() if not re.search("KEY|TOKEN|DVC_ROOT|^MAKE", key)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    command = re.sub(r"\bmake ", "make READY=.venv LOCK=cpu ", command)
    done = subprocess.run(
        command,
        shell=True,
        cwd=root,
        env={**kept, "PATH": path, "COLUMNS": "110"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout.rstrip()


def _everywhere(text: str) -> str:
    """What differs from machine to machine, as an ellipsis."""
    text = re.sub(r"[\d.]+ of [\d.]+ GB free|[\d.]+ GB free", "… GB free", text)
    text = re.sub(r"(?m)^(ok      (?:python|system|gpu)\s+).*", r"\1…", text)
    text = re.sub(r"\d+ as in requirements", "… as in requirements", text)
    text = re.sub(r"(?m)^\S+ +(memory|port) .*\n?( +-> .*\n?)?", "", text)
    return re.sub(r"(?m)[ \t]+$", "", text)
