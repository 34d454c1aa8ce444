"""A person leaves every file of a real checkout, DVC's cache included, and the pipeline still runs."""

import json
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from test_recipes_end_to_end import checkout, dvc, lay  # noqa: F401

from parley.conversion.people import People
from parley.errors import ParleyError
from parley.params import read_yaml
from tools.forget import forget, search
from tools.rewrite import is_text, rewrite

ANA, BEN, CAT = "100000000000000001", "100000000000000002", "100000000000000003"
NAMES = {ANA: "Anastazja Ruiz", BEN: "Benedict", CAT: "Kätchen Quimby"}


def message(number: int, author: str, text: str) -> dict:
    return {
        "id": str(5000 + number),
        "type": "Default",
        "timestamp": f"2024-{1 + number // 56:02}-{1 + number // 2 % 28:02}T10:0{number % 2}:00+00:00",
        "content": text,
        "author": {"id": author, "name": NAMES[author], "isBot": False},
        "mentions": [{"id": CAT, "name": NAMES[CAT]}] if "@" in text else [],
    }


def export() -> dict:
    words = ["tide", "boat", "rope", "gull", "sand", "wave", "crab", "kelp"]
    messages = [
        message(number, (ANA, BEN)[number % 2], f"{words[number % 8]} {words[number // 8 % 8]} {number}")
        for number in range(100)
    ]
    messages[10] = message(10, CAT, "my marmalade is secret")
    messages[12] = message(12, ANA, "> my marmalade is secret\nsaid @Kätchen Quimby, and Quimby means it")
    return {"guild": {"id": "0"}, "channel": {"id": "7"}, "messages": messages, "messageCount": len(messages)}


def found(root: Path, *words: str) -> set[str]:
    """Files that hold one of the words, or are called so, found by other means; git's folder and the tests apart."""
    pattern = re.compile("|".join(words).encode(), re.IGNORECASE)
    files = (
        path for path in root.rglob("*") if path.is_file() and not {".git", "tests"} & {*path.relative_to(root).parts}
    )
    return {path.relative_to(root).as_posix() for path in files if pattern.search(bytes(path) + path.read_bytes())}


@pytest.mark.slow
def test_a_person_is_in_no_file_any_more(checkout: Path) -> None:  # noqa: F811
    root = checkout
    lay(root, "persona")
    yaml, params = YAML(), root / "params.yaml"
    values = yaml.load(params.read_text())
    values["ingest"]["input"], values["convert"]["target"], values["validate"]["min_split"] = "data/raw", BEN, 1
    yaml.dump(values, params)
    (root / "data/raw").mkdir()
    (root / "data/raw/Direct Messages - Kätchen Quimby [7].json").write_text(json.dumps(export()))
    for command in (["init", "-q", "-f"], ["add", "-q", "data/raw"], ["repro", "-q", "validate"]):
        dvc(root, *command)
    for cache in (
        ".judge/answers.sqlite",
        ".checkpoints/a/b.json",
        ".dvc/tmp/exps/x/data.json",
        "metrics/preview.html",
    ):
        (root / cache).parent.mkdir(parents=True, exist_ok=True)
        (root / cache).write_text("marmalade, said Quimby")
    person = ("marmalade", "quimby", "k(ä|\\\\u00e4)tchen".encode().decode(), CAT)
    before = found(root, *person)
    assert {
        "data/raw/Direct Messages - Kätchen Quimby [7].json",
        "data/interim/messages.jsonl",
        ".judge/answers.sqlite",
    } <= before
    assert any(name.startswith(".dvc/cache/files") for name in before)

    comments = params.read_text().count("#")
    said: list[str] = []
    assert forget(root, CAT, sure=False, say=said.append) == []
    assert found(root, *person) == before and "YES=1" in said[-1]

    with zipfile.ZipFile(root / "data/raw/older.zip", "w") as archive:
        archive.writestr("older.json", "[]")
    with pytest.raises(ParleyError, match=r"data/raw/older\.zip: no search can look into it"):
        forget(root, CAT, sure=True, say=said.append)
    (root / "data/raw/older.zip").unlink()
    assert found(root, *person) == before
    (root / "data/quality.jsonl").write_text("a score of theirs")
    assert forget(root, CAT, sure=True, say=said.append) == []
    assert found(root, *person) == {"params.yaml"} and (root / "data/quality.jsonl").read_bytes() == b""
    assert read_yaml(params)["convert"]["exclude_authors"] == [CAT] and params.read_text().count("#") == comments
    dvc(root, "repro", "-q", "validate")
    assert found(root, *person[:3]) == set()
    # The opt-out list needs the id; DVC notes the settings of each run.
    assert {name.split("/")[0] for name in found(root, CAT)} <= {"params.yaml", "dvc.lock", ".dvc"}
    assert not any(name.startswith(".dvc/cache/files") for name in found(root, CAT))


def test_a_raw_file_of_any_text_is_written_again_without_the_person(tmp_path: Path) -> None:
    name, quote = NAMES[CAT], "my marmalade"
    people = People({CAT: {name: None}, ANA: {NAMES[ANA]: None}}, {CAT: 1}, {quote})
    files = {
        "rows.jsonl": (
            json.dumps({"author": CAT, "text": "hi"}) + '\n{"text": "bye Quimby"}\n',
            '{"text": "bye <name>"}\n',
        ),
        "x [7].csv": (
            f'AuthorID,Author,Content\n{CAT},"{name}","a\nb"\n{ANA},Ana,"> {quote}\nQuimby?"\n',
            f'"AuthorID","Author","Content"\r\n"{ANA}","Ana","<name>?"\r\n',
        ),
        "y.tsv": (
            f"AuthorID\tContent, so long\n{CAT}\thi\n{ANA}\t{'long, ' * 30_000}Quimby\n",
            f'"AuthorID"\t"Content, so long"\r\n"{ANA}"\t"{"long, " * 30_000}<name>"\r\n',
        ),
        "chat.txt": (
            f"1/13/24, 20:49 - Ana: hi\n1/13/24, 20:50 - {name}: a\nb\n1/13/24, 20:51 - Ana: ok Quimby\n",
            "1/13/24, 20:49 - Ana: hi\n1/13/24, 20:51 - Ana: ok <name>\n",
        ),
    }
    for file, (before, after) in files.items():
        path = tmp_path / file
        path.write_text(before)
        assert rewrite(
            path, name if file == "chat.txt" else CAT, People({**people.names, name: {name: None}}, {}, {quote})
        )
        assert path.read_bytes().decode() == after


def test_of_other_texts_only_the_names_go_and_closed_files_are_known(tmp_path: Path) -> None:
    people = People({CAT: {NAMES[CAT]: None}, ANA: {NAMES[ANA]: None}}, {CAT: 1}, set())
    notes, closed = tmp_path / "notes.txt", tmp_path / "Quimby.bin"
    notes.write_text("Kätchen Quimby: hi\nAnastazja: yes")
    closed.write_bytes("Quimby".encode("utf-16"))
    assert [path.name for path in search(tmp_path, CAT, people)] == ["Quimby.bin", "notes.txt"]
    assert (is_text(notes), is_text(closed)) == (True, False)
    assert not rewrite(notes, CAT, people)
    assert notes.read_text() == "<name>: hi\nAnastazja: yes\n"


@pytest.fixture
def target_of_params(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "params.yaml").write_text(f"convert:\n  target: '{CAT}'\n  exclude_authors: []\n")
    (tmp_path / "data/interim").mkdir(parents=True)
    (tmp_path / "data/interim/messages.jsonl").write_text("")
    yield tmp_path


def test_the_target_and_strangers_are_refused(target_of_params: Path) -> None:
    with pytest.raises(ParleyError, match=r"is convert\.target"):
        forget(target_of_params, CAT, sure=True, say=print)
    with pytest.raises(ParleyError, match="nobody in data/interim"):
        forget(target_of_params, ANA, sure=True, say=print)
    with pytest.raises(ParleyError, match="AUTHOR= is missing"):
        forget(target_of_params, "", sure=True, say=print)


def test_the_tool_lists_what_git_keeps_as_the_projects_own(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("Quimby")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    people = People({CAT: {NAMES[CAT]: None}}, {}, set())
    assert [path.name for path in search(tmp_path, CAT, people)] == ["code.py"]
    subprocess.run(["git", "add", "code.py"], cwd=tmp_path, check=True)
    assert list(search(tmp_path, CAT, people)) == []
