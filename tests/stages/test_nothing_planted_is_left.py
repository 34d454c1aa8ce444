"""A planted export through ingest, convert and validate: no file from data/sharegpt on holds what was planted."""

import json
from pathlib import Path

from planted import PLANTED
from workspace import set_params

from parley.files import read_json
from parley.jsonl import rows_of
from stages import convert, ingest, validate

ANA, BEN = "100000000000000001", "100000000000000002"
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


def test_nothing_planted_is_in_any_output_from_sharegpt_on(tmp_path: Path) -> None:
    set_params(tmp_path, ingest__input="data/raw", convert__target=BEN, validate__min_split=1)
    (tmp_path / "data/raw").mkdir(parents=True)
    texts = [sentence.format(planted) for _, sentence, planted in PLANTED]
    for name, start in (("Direct Messages - Anastazja", 1000), ("other +49 30 901820", 2000)):
        path = tmp_path / f"data/raw/{name}.json"
        path.write_text(json.dumps(export(name, start, texts if start == 1000 else texts[::-1])), encoding="utf-8")
    for stage in (ingest, convert, validate):
        stage.main(tmp_path)
    names = [word for name in NAMES.values() for word in name.replace("-", " ").split()]
    planted = [*NAMES, *names, *(planted for _, _, planted in PLANTED)]
    folders = ["data/sharegpt", "data/splits", "data/eval", "data/rejects", "metrics"]
    written = [path for folder in folders for path in (tmp_path / folder).rglob("*.json*")]
    for path in written:
        text = path.read_text(encoding="utf-8").casefold()
        if path.name != "ingest.jsonl":  # what ingest rejects is raw: its file names
            assert not [each for each in planted if json.dumps(each, ensure_ascii=False)[1:-1].casefold() in text], path
    # The same person is the same pseudonym in both files.
    speakers = {row["author"] for _, row in rows_of(tmp_path / "data/sharegpt/conversations.jsonl")}
    assert len(speakers) == 1
    counts = read_json(tmp_path / "metrics/convert.json")["redactions"]
    assert {kind: count // 2 for kind, count in counts.items() if kind != "names"} == {
        kind: sum(each == kind for each, _, _ in PLANTED) for kind in counts if kind != "names"
    }
