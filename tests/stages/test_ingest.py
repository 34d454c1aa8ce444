"""Ingest as a whole: folders, copies of messages, odd files, and counts that add up."""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from parley import progress
from parley.errors import ParleyError
from parley.params import read_yaml
from stages import ingest

PARAMS = Path(__file__).parents[2] / "params.yaml"
ROW = {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]}


def workspace(root: Path, *, source: str = "data/raw", workers: int = 2, **changes: Any) -> Path:
    params = {"input": source, "files": "*", "format": "auto", "columns": {}, "date_order": "auto", **changes}
    runtime = read_yaml(PARAMS)["runtime"] | {"workers": workers}
    (root / "params.yaml").write_text(json.dumps({"ingest": params, "runtime": runtime}))  # JSON is YAML
    (root / "data/raw").mkdir(parents=True, exist_ok=True)
    return root


def put(root: Path, name: str, content: Any) -> None:
    path = root / "data/raw" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content, indent=1).encode())


def export(ids: range, *, channel: str = "9", exported: str = "2025-01-01T00:00:00Z", text: str = "hi") -> Any:
    """A Discord export of messages one second apart."""
    messages = [
        {
            "id": str(n),
            "timestamp": f"2024-01-01T00:{n // 60:02}:{n % 60:02}+00:00",
            "content": text,
            "author": {"id": "4"},
        }
        for n in ids
    ]
    return {"guild": {"id": "1"}, "channel": {"id": channel}, "exportedAt": exported, "messages": messages}


def run(root: Path) -> tuple[list[Any], list[Any], list[Any], dict[str, Any]]:
    """Messages, conversations, rejects and counts."""
    ingest.main(root)
    files = ("data/interim/messages.jsonl", "data/interim/conversations.jsonl", "data/rejects/ingest.jsonl")
    messages, conversations, rejects = ([json.loads(line) for line in (root / f).open()] for f in files)
    counts = json.loads((root / "metrics/ingest.json").read_text())
    assert counts["in"] == counts["out"] + sum(counts["dropped"].values())
    assert counts["out"] == len(messages) + len(conversations)
    assert sum(counts["dropped"].values()) == len(rejects)
    assert {row["schema"] for row in [*messages, *conversations, *rejects]} <= {1}
    assert sorted(path.name for path in (root / "data").iterdir()) == ["interim", "raw", "rejects"]
    names = sorted(path.name for path in (root / "data/interim").iterdir())
    assert names == ["conversations.jsonl", "files.jsonl", "messages.jsonl"]
    return messages, conversations, rejects, counts


def test_copies_of_a_message_become_the_one_exported_last(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    put(root, "a.json", export(range(1, 30), text="old"))
    put(root, "b.json", export(range(20, 40), exported="2025-02-01T00:00:00Z", text="new"))
    put(root, "c.json", export(range(1, 3), channel="10"))
    messages, _, rejects, counts = run(root)
    assert [(row["channel"], row["id"]) for row in messages] == [
        *(("10", str(n)) for n in (1, 2)),
        *(("9", str(n)) for n in range(1, 40)),
    ]
    assert [row["text"] for row in messages[2:]] == ["old"] * 19 + ["new"] * 20
    assert counts["dropped"] == {"duplicate message": 10}
    assert {row["source"].partition(":")[0] for row in rejects} == {ingest.alias_of("a.json")}
    assert rejects[0]["reason"].startswith(f"also at {ingest.alias_of('b.json')}:")


def test_rejects_call_a_chats_file_by_another_name_and_interim_says_which(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    name = "Direct Messages - Anastazja.json"
    chat = export(range(1, 4))
    chat["messages"][1]["timestamp"] = chat["messages"][2]["author"] = None
    put(root, name, chat)
    put(root, "copy of Anastazja.json", export([1], exported="2025-02-01T00:00:00Z"))
    put(root, "rows.jsonl", b'{"question": "q", "answer": "a"}\n{"question": "q", "answer": 1}\n')
    _, _, rejects, _ = run(root)
    shown = {row["file"]: row["name"] for row in map(json.loads, (root / "data/interim/files.jsonl").open())}
    assert sorted(shown.values()) == [name, "copy of Anastazja.json"]
    assert {shown.get(row["source"].partition(":")[0], row["source"]) for row in rejects} == {name, "rows.jsonl:2"}
    assert "Anastazja" not in (root / "data/rejects/ingest.jsonl").read_text()


def test_the_order_of_messages_and_files_changes_no_byte(tmp_path: Path) -> None:
    found = set()
    for number in range(4):
        (tmp_path / str(number)).mkdir()
        root = workspace(tmp_path / str(number))
        files = [("x/b.json", export(range(1, 200))), ("a.json", export(range(150, 300))), ("rows.jsonl", ROW)]
        random.Random(number).shuffle(files)
        for name, content in files:
            put(root, name, content)
        run(root)
        found.add(tuple(path.read_bytes() for path in sorted((root / "data/interim").iterdir())))
    assert len(found) == 1


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/New_York"])
def test_the_machines_time_zone_changes_nothing(tmp_path: Path, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    root = workspace(tmp_path)
    put(root, "a.json", export(range(1, 3)))
    assert [row["time"] for row in run(root)[0]] == [1_704_067_201_000, 1_704_067_202_000]


def test_a_reversed_export_is_turned_round(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    put(root, "a.json", export(range(300, 0, -1)))
    assert [row["id"] for row in run(root)[0]] == [str(n) for n in range(1, 301)]


def test_rows_of_every_format_become_conversations_with_ids_of_their_own(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    put(root, "a/rows.json", [{"id": "x", **ROW}, {"id": "x", **ROW}, ROW])
    put(root, "b/rows.json", [{"id": "x", **ROW}, ROW, ROW, ROW])
    put(root, "c.json", [{"instruction": "hi", "output": "ho"}, {"instruction": "hi", "output": 5}])
    _, conversations, rejects, counts = run(root)
    ids = [row["id"] for row in conversations]
    assert ids == ["x", "x-2", "rows-3", "x-3", "rows-2", "rows-3-2", "rows-4", "c-1"]
    assert [row["group"] for row in conversations] == ids
    assert [(row["source"], row["code"]) for row in rejects] == [("c.json:6", "E005")]
    assert counts["files"] == {"alpaca": 1, "sharegpt": 2}


def test_a_single_file_is_read_too(tmp_path: Path) -> None:
    root = workspace(tmp_path, source="data/raw/rows.json")
    put(root, "rows.json", ROW)
    assert [row["source"] for row in run(root)[1]] == ["rows.json:1"]


def test_what_is_no_export_beside_the_exports_is_left_alone(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    put(root, "rows.json", ROW)
    for name in ("README.md", "LICENSE", ".hidden", ".git/x.json", "general.json_Files/picture.png", "raw.dvc"):
        put(root, name, b"\x89PNG")
    assert run(root)[3]["files"] == {"sharegpt": 1}


def test_an_interrupted_export_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = workspace(tmp_path)
    put(root, "Direct Messages - Ann.json", json.dumps(export(range(1, 4))).encode()[:-50])
    messages, _, rejects, counts = run(root)
    assert (len(messages), len(rejects), list(counts["warnings"].values())) == (2, 1, [1])
    assert "Direct Messages - Ann.json: the export was interrupted" in capsys.readouterr().err
    assert "Ann" not in (root / "metrics/ingest.json").read_text()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.json", b"", r"x\.json: empty"),
        ("x.json", b" \n", r"x\.json: empty"),
        ("x.json", {"candidates": [{"text": "secret"}]}, r"x\.json: its first record has the keys candidates"),
        ("x.json", [{"chosen": 1, "rejected": 2}], r"x\.json: .* chosen, rejected"),
        ("x.csv", b"a,b\n1,2\n", r"x\.csv: its first record has the keys a, b\."),
        ("x.json", {"editor.size": 1}, r"x\.json: its first record has the keys editor\.size\. That"),
        ("x.json", ["secret"], r"x\.json: a JSON list without records"),
        ("x.json", b'{"secret": 1,}', r"x\.json: E001 invalid JSON at line 1, column 14"),
        ("x.json", b'["secret \\ud800"]', r"x\.json: E017 a lone surrogate"),
        ("x.bin", b"\x89PNG\r\n\x1a\n\x00", r"x\.bin: no JSON object"),
        ("x.png", b"\x89PNG\r\n\x1a\n\x00", r"data/raw: no file to read among those that are there \(\.png\)"),
        ("x.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git-LFS pointer"),
        ("x.json", b"\xff\xfe[\x00\x00\xd8]\x00", r"x\.json: looks like UTF-16-LE but is not"),
        ("x.json", {"conversations": []}, r"no message and no conversation in 1 files; .* x\.json:1: E002 "),
    ],
)
def test_a_file_that_cannot_be_read_stops_the_stage(tmp_path: Path, name: str, content: Any, message: str) -> None:
    root = workspace(tmp_path)
    put(root, name, content)
    with pytest.raises(ParleyError, match=message) as caught:
        ingest.main(root)
    assert "secret" not in str(caught.value)
    assert not (root / "data/interim").exists()
    assert not (root / "metrics").exists()


@pytest.mark.parametrize("source", ["data/raw", "data/nothing", "data/raw/x.json"])
def test_a_missing_or_empty_input_says_what_to_put_there(tmp_path: Path, source: str) -> None:
    with pytest.raises(ParleyError, match=f"{source}: no .*DiscordChatExporter"):
        ingest.main(workspace(tmp_path, source=source))


def test_an_unknown_format_names_the_near_ones(tmp_path: Path) -> None:
    root = workspace(tmp_path, format="sharegtp")
    put(root, "x.json", ROW)
    with pytest.raises(ParleyError, match="did you mean 'sharegpt'"):
        ingest.main(root)


def test_links_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    put(root, "rows.json", ROW)
    (root / "other.json").write_text(json.dumps(ROW))
    (root / "data/raw/link.json").symlink_to(root / "other.json")
    with pytest.raises(ParleyError, match=r"link\.json: a link that leads out"):
        ingest.main(root)
    (root / "data/raw/link.json").unlink()
    (root / "data/raw/link").symlink_to(root)
    with pytest.raises(ParleyError, match="link: a link that leads out"):
        ingest.main(root)
    (root / "data/raw/link").unlink()
    cached = root / ".dvc/cache/files/md5/00/11"
    cached.parent.mkdir(parents=True)
    cached.write_text(json.dumps(ROW))
    (root / "data/raw/tracked.json").symlink_to(cached)
    assert run(root)[3]["files"] == {"sharegpt": 2}


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    os.mkfifo(root / "data/raw/x.json")
    with pytest.raises(ParleyError, match="not a plain file"):
        ingest.main(root)


def test_the_number_of_processes_changes_no_byte(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = set()
    for workers in (1, 2, 5):
        (tmp_path / str(workers)).mkdir()
        root = workspace(tmp_path / str(workers), workers=workers)
        put(root, "a.json", export(range(1, 2000)))
        put(root, "b.json", export(range(1500, 2500), exported="2025-02-01T00:00:00Z"))
        put(root, "c.json", json.dumps(export(range(1, 4), channel="10"), indent=1).encode()[:-50])
        for name in ("d/rows.json", "e/rows.json"):
            put(root, name, [{"id": "x", **ROW}, ROW, {"conversations": 5}])
        run(root)
        files = [root / "metrics/ingest.json", *sorted((root / "data").glob("[ir]*/*.jsonl"))]
        found.add((*(path.read_bytes() for path in files), capfd.readouterr().err))
    assert len(found) == 1


def test_an_error_in_one_process_is_that_of_the_first_file_and_leaves_nothing(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    for name in ("a.json", "b.json", "c.json"):
        put(root, name, json.dumps(ROW).encode() + b"\n\xff" if name == "a.json" else ROW)
    put(root, "b.json", b'[{"conversations": []}] []')
    put(root, "d.json", b'[{"conversations": []}] []')
    with pytest.raises(ParleyError, match=r"b\.json:1: something stands after"):
        ingest.main(root)
    assert [path for path in root.rglob("*") if path.is_file() and "raw" not in path.parts] == [root / "params.yaml"]


def test_a_data_package_of_tables_knows_its_owner(tmp_path: Path) -> None:
    root = workspace(tmp_path)
    put(root, "Account/user.json", {"id": "777", "username": "me"})
    put(root, "messages/index.json", {"1": None})
    put(root, "messages/1/channel.json", {"id": "1"})
    row = b"ID,Timestamp,Contents,Attachments\n1322667734953099307,2024-12-28 20:49:21+00:00,hi,\n"
    put(root, "messages/1/messages.csv", row)
    messages, *_ = run(root)
    assert [(row["author"], row["names"], row["channel"]) for row in messages] == [("777", ["me"], "1")]


@pytest.mark.parametrize("files", [1, 3])  # read by this process, and by two workers
def test_the_bar_counts_bytes_as_they_are_read_whichever_process_reads_them(
    tmp_path: Path, files: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINES", 0.0)  # a line at each step
    for number in range(files):
        put(tmp_path, f"{number}.json", export(range(9000), channel=str(number)))
    run(workspace(tmp_path))
    size = sum(path.stat().st_size for path in (tmp_path / "data/raw").iterdir()) / 1e6
    lines = [line for line in capsys.readouterr().err.splitlines() if " MB, " in line]
    assert len(lines) > 2 and lines[-1].startswith(f"ingest: {size:.0f} of {size:.0f} MB, ")
