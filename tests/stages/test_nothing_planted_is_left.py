"""A planted export through ingest, convert and validate: no file from data/sharegpt on holds what was planted."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from planted import PLANTED
from workspace import set_params

from parley.files import read_json
from parley.jsonl import rows_of
from stages import convert, encode, generate, ingest, judge, merge, report, score, train, validate

ANA, BEN, CAT = "100000000000000001", "100000000000000002", "100000000000000003"
NAMES = {ANA: "Anastazja Ruiz-Feld", BEN: "Бенедикт"}


def export(channel: str, start: int, texts: list[str]) -> dict:
    """A DiscordChatExporter file in which Ana and Ben say the texts in turns."""
    messages = [
        {
            "id": str(start + number),
            "type": "Default",
            "timestamp": f"2024-01-{1 + number // 2:02}T10:0{number % 2}:00+00:00",
            "content": f"{number} {text} {NAMES[(BEN, ANA)[number % 2]]}",
            "author": {"id": (ANA, BEN)[number % 2], "name": NAMES[(ANA, BEN)[number % 2]], "isBot": False},
            "attachments": [],
            "mentions": [],
        }
        for number, text in enumerate(texts)
    ]
    return {"guild": {"id": "0"}, "channel": {"id": channel}, "messages": messages}


def planted_workspace(root: Path, **changes: Any) -> list[str]:
    """Two private chats full of what must not get out, called after people; what was planted, folded."""
    set_params(root, ingest__input="data/raw", convert__target=BEN, validate__min_split=1, **changes)
    (root / "data/raw").mkdir(parents=True)
    texts = [sentence.format(planted) for _, sentence, planted in PLANTED]
    for name, start in (("Direct Messages - Anastazja", 1000), ("other +49 30 901820", 2000)):
        path = root / f"data/raw/{name}.json"
        chat = export(name, start, texts if start == 1000 else texts[::-1])
        chat["messages"].append({**chat["messages"][-1], "id": "9", "timestamp": None})  # a reject, with its file
        path.write_text(json.dumps(chat), encoding="utf-8")
    names = [word for name in NAMES.values() for word in name.replace("-", " ").split()]
    return [each.casefold() for each in [*NAMES, *names, *(planted for _, _, planted in PLANTED)]]


def holding(root: Path, planted: list[str], *apart: str) -> dict[str, list[str]]:
    """File below root -> what of `planted` stands in it or its name, as it is or as JSON; but for some folders."""
    found = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        name = path.relative_to(root).as_posix()
        text = f"{name}\n{path.read_bytes().decode(errors='ignore')}".casefold()
        forms = {
            each: {each, *(json.dumps(each, ensure_ascii=ascii)[1:-1] for ascii in (True, False))} for each in planted
        }
        if not name.startswith(apart) and (
            left := [each for each in planted if any(form in text for form in forms[each])]
        ):
            found[name] = left
    return found


RAW = ("data/raw/", "data/interim/", "params.yaml")


def test_nothing_planted_is_in_any_output_from_sharegpt_on(tmp_path: Path) -> None:
    planted = planted_workspace(tmp_path)
    for stage in (ingest, convert, validate):
        stage.main(tmp_path)
    assert len(holding(tmp_path, planted)) == 5  # the search does find: both exports, two of interim, params.yaml
    assert holding(tmp_path, planted, *RAW) == {}
    assert len(list(rows_of(tmp_path / "data/rejects/ingest.jsonl"))) == 2
    # The same person is the same pseudonym in both files.
    speakers = {row["author"] for _, row in rows_of(tmp_path / "data/sharegpt/conversations.jsonl")}
    assert len(speakers) == 1
    counts = read_json(tmp_path / "metrics/convert.json")["redactions"]
    assert {kind: count // 2 for kind, count in counts.items() if kind != "names"} == {
        kind: sum(each == kind for each, _, _ in PLANTED) for kind in counts if kind != "names"
    }


@pytest.mark.slow
def test_nothing_planted_is_in_a_model_an_answer_a_report_or_a_log(
    tmp_path: Path, tiny_base: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    planted = planted_workspace(tmp_path, train__epochs=1, generate__max_new_tokens=8, runtime__save_steps=2)
    shutil.copytree(tiny_base, tmp_path / "models/base")
    shutil.copytree(tiny_base.parents[1] / "metrics", tmp_path / "metrics")
    for stage in (ingest, convert, validate, encode, train, merge):
        stage.main(tmp_path)
    for which in ("base", "tuned"):
        generate.main(tmp_path, which)
    for stage in (score, judge, report):
        stage.main(tmp_path)
    assert {"models", "metrics", "data"} <= {path.name for path in tmp_path.iterdir()}
    assert holding(tmp_path, planted, *RAW) == {}
    log = "".join(capfd.readouterr()).casefold()
    assert not [each for each in planted if each in log]


def test_a_source_removed_or_an_author_opted_out_leaves_no_trace(tmp_path: Path) -> None:
    planted_workspace(tmp_path, validate__near_duplicates=1)
    for place, (word, source) in enumerate((("marmalade", "a"), ("quince", "b"))):
        chat = export(source, 5000 + 100 * place, [f"{word} {number}" for number in range(20)])
        chat["messages"][1] |= {"author": {"id": CAT, "name": "Quimby"}, "content": "my secret is rhubarb"}
        chat["messages"][2]["content"] = "> my secret is rhubarb\nsaid Quimby"
        (tmp_path / f"data/raw/{source}.json").write_text(json.dumps(chat))

    def words_left(**changes: Any) -> set[str]:
        set_params(tmp_path, ingest__input="data/raw", convert__target=BEN, validate__min_split=1, **changes)
        for stage in (ingest, convert, validate):
            stage.main(tmp_path)
        found = holding(tmp_path, ["marmalade", "quince", "rhubarb", "quimby", CAT], *RAW)
        return {word for words in found.values() for word in words}

    no_names = {"redact__kinds": [], "validate__near_duplicates": 1}
    assert words_left(**no_names) == {"marmalade", "quince", "rhubarb", "quimby"}
    assert words_left(**no_names, convert__exclude_authors=[CAT]) == {"marmalade", "quince"}
    (tmp_path / "data/raw/b.json").unlink()
    assert words_left(**no_names, convert__exclude_authors=[CAT]) == {"marmalade"}
    assert not holding(tmp_path / "data/interim", ["quince"])
