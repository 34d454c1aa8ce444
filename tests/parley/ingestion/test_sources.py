"""What lies in a folder, an archive or a table; and what must never come out of one."""

import gzip
import json
import stat
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from pyarrow import ipc, parquet

from parley.errors import ParleyError
from parley.ingestion import sources
from parley.ingestion.sources import files_below, opened

ROW = b'{"question": "hi", "answer": "ho"}\n'


def names(path: Path, scratch: Path, name: str | None = None, **columns: str) -> dict[str, bytes]:
    return {name: file.read_bytes() for file, name in opened(path, name or path.name, scratch / "s", columns)}


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_zip_is_read_like_a_folder(tmp_path: Path) -> None:
    inner = gzip.compress(ROW)
    members = {"b/rows.jsonl": ROW, "a.csv": b"question,answer\nhi,ho\n", "c.jsonl.gz": inner}
    ignored = {"photo.JPG": b"x", "__MACOSX/._a.csv": b"x", ".DS_Store": b"x", "README.md": b"x"}
    found = names(zipped(tmp_path / "x.zip", **members, **ignored), tmp_path)
    assert {name: json.loads(content) for name, content in found.items()} == dict.fromkeys(
        ["x.zip/a.csv", "x.zip/b/rows.jsonl", "x.zip/c.jsonl.gz"], json.loads(ROW)
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../x.json", "leads out"),
        ("/x.json", "leads out"),
        ("a/../../x.json", "leads out"),
        ("a\\..\\x.json", "leads out"),
        ("x" * 300, "no file's"),
        ("inner.zip", "an archive inside an archive"),
    ],
)
def test_a_zip_whose_entries_would_lie_elsewhere_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "deep").mkdir()
    path = zipped(tmp_path / "deep/x.zip", **{"ok.json": ROW, name: ROW})
    with pytest.raises(ParleyError, match=message):
        names(path, tmp_path / "deep")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["deep"]


def test_a_zip_with_links_locks_or_twins_is_refused(tmp_path: Path) -> None:
    link, locked = zipfile.ZipInfo("link"), zipfile.ZipInfo("x.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    for number, (entry, message) in enumerate([(link, "symbolic link"), (locked, "password"), (None, "one name")]):
        path = tmp_path / f"{number}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(entry or zipfile.ZipInfo("y.json"), ROW)
            if entry is None:
                with pytest.warns(UserWarning, match="Duplicate"):
                    archive.writestr("y.json", ROW)
        if entry is locked:
            data = bytearray(path.read_bytes())
            for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
                data[data.index(mark) + offset] |= 1
            path.write_bytes(data)
        with pytest.raises(ParleyError, match=message):
            names(path, tmp_path)


def test_bombs_are_refused_before_they_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = b"0" * (50 << 20)  # packed a thousandfold
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(zeros))
    for path in (zipped(tmp_path / "x.zip", **{"x.json": zeros}), tmp_path / "x.json.gz"):
        with pytest.raises(ParleyError, match="more than 200 times its size"):
            names(path, tmp_path)
    assert sum(file.stat().st_size for file in (tmp_path / "s").rglob("*") if file.is_file()) < 30 << 20
    small = {f"{n}.json": b"0" * (12 << 20) for n in range(3)}  # each below what is always fine
    with pytest.raises(ParleyError, match="more than 200 times its size"):
        names(zipped(tmp_path / "small.zip", **small), tmp_path)
    many = zipped(tmp_path / "many.zip", **{f"{n}.json": ROW for n in range(5)})
    monkeypatch.setattr(sources, "MAX_ENTRIES", 4)
    with pytest.raises(ParleyError, match="5 entries"):
        names(many, tmp_path)
    monkeypatch.setattr(sources, "MAX_ENTRIES", 5)
    monkeypatch.setattr(sources, "MAX_BYTES", 5 * len(ROW) - 1)
    with pytest.raises(ParleyError, match="GiB unpacked"):
        names(many, tmp_path)


@pytest.mark.parametrize("name", ["x.zip", "x.json.gz", "x.parquet", "x.arrow"])
@pytest.mark.parametrize("cut", [0.5, 0.9])
def test_a_broken_file_is_refused_by_name(tmp_path: Path, name: str, cut: float) -> None:
    path = tmp_path / name
    if name.endswith("zip"):
        zipped(path, **{"x.json": ROW * 100})
    elif name.endswith("gz"):
        path.write_bytes(gzip.compress(ROW * 100))
    else:
        parquet.write_table(pa.table({"question": ["hi"] * 100}), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    with pytest.raises(ParleyError, match=f"{name}: .*(broken archive|not a Parquet or Arrow file)"):
        names(path, tmp_path)


def test_zstandard_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json.zst"
    path.write_bytes(zstandard.compress(ROW * 3))
    assert names(path, tmp_path) == {"x.json.zst": ROW * 3}
    path.write_bytes(zstandard.compress(b"0" * (50 << 20)))
    with pytest.raises(ParleyError, match="more than 200 times its size"):
        names(path, tmp_path)


def write(kind: str, path: Path, table: Any) -> None:
    if kind == "parquet":
        parquet.write_table(table, path, row_group_size=2)
    else:
        opener = ipc.new_stream if kind == "stream" else ipc.new_file
        with opener(path, table.schema) as writer:
            writer.write_table(table)


@pytest.mark.parametrize("kind", ["parquet", "stream", "file"])
def test_a_table_becomes_rows(tmp_path: Path, kind: str) -> None:
    turns = [[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]] * 3
    path = tmp_path / ("x.parquet" if kind == "parquet" else "x.arrow")
    write(kind, path, pa.table({"messages": turns, "n": [1.5, float("nan"), None]}))
    (rows,) = names(path, tmp_path).values()
    assert [json.loads(line) for line in rows.splitlines()] == [
        {"messages": turns[0], "n": n} for n in (1.5, None, None)
    ]


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("x.csv", b'\xef\xbb\xbfa,b\r\n"1\n""2""",3\r\n\r\n', [{"a": '1\n"2"', "b": "3"}]),
        ("x.csv", b"a;b\n1,5;2\n", [{"a": "1,5", "b": "2"}]),
        ("x.tsv", b"a\tb\n1,5\t2\n3\n", [{"a": "1,5", "b": "2"}, []]),
        ("x.csv", "a,b\né,2\n".encode("utf-16"), [{"a": "é", "b": "2"}]),
        ("x.csv", b'a,b\n1,2\n3,"4\n', [{"a": "1", "b": "2"}, {"a": "3", "b": "4\n"}]),
    ],
)
def test_csv_becomes_rows_and_an_uneven_row_is_kept_for_the_reject(
    tmp_path: Path, name: str, content: bytes, rows: Any
) -> None:
    (tmp_path / name).write_bytes(content)
    (found,) = names(tmp_path / name, tmp_path).values()
    assert [json.loads(line) for line in found.splitlines()] == rows


def test_columns_are_renamed_and_wrong_names_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("Frage,user\nhi,ho\n")
    assert list(names(path, tmp_path, Frage="question").values()) == [b'{"question":"hi","user":"ho"}\n']
    with pytest.raises(ParleyError, match="no column 'Frag'; did you mean 'Frage'"):
        names(path, tmp_path, Frag="question")
    path.write_text("Frage,Antwort\nhi,ho\n")
    with pytest.raises(ParleyError, match="no column 'Fragen'; did you mean 'Frage'"):
        names(path, tmp_path, Fragen="user", Antwort="assistant")
    of_another_file = {"question_de": "user", "Antwort": "assistant"}
    assert list(names(path, tmp_path, **of_another_file).values()) == [b'{"Frage":"hi","assistant":"ho"}\n']
    path.write_text("Frage,user\nhi,ho\n")
    with pytest.raises(ParleyError, match="two columns called 'user'"):
        names(path, tmp_path, Frage="user")
    path.write_bytes(b"a,b\n\xff,2\n")
    with pytest.raises(ParleyError, match=r"x\.csv:2: not UTF-8"):
        names(path, tmp_path)


REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset: a/b\nrevision: main\n", "revision: expected"),
        (f"dataset: ../b/c\nrevision: {REVISION}\n", "dataset: expected"),
        (f"dataset: a/b\nrevision: {REVISION}\n", "no a/b at 0123456789ab with split 'train'"),
    ],
)
def test_a_dataset_of_the_hub_is_pinned(tmp_path: Path, offline: Path, text: str, message: str) -> None:
    (tmp_path / "x.hub").write_text(text)
    cached(offline / "another revision")
    with pytest.raises(ParleyError, match=f"x.hub: {message}"):
        names(tmp_path / "x.hub", tmp_path)


def test_a_dataset_of_the_hub_is_read_from_the_cache(tmp_path: Path, offline: Path) -> None:
    cached(offline / REVISION)
    (tmp_path / "x.hub").write_text(f"dataset: a/b\nrevision: {REVISION}\nsplit: train\n")
    (rows,) = names(tmp_path / "x.hub", tmp_path, q="question").values()
    assert [json.loads(line) for line in rows.splitlines()] == [{"question": "hi", "answer": "ho"}] * 2


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of datasets, and no network."""
    import datasets
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def cached(folder: Path) -> None:
    """The dataset a/b of two rows, as `datasets` keeps it in its cache."""
    import datasets

    made = folder / "a___b/default/0.0.0/x"
    datasets.Dataset.from_dict({"q": ["hi", "hi"], "answer": ["ho", "ho"]}).save_to_disk(made)
    (made / "data-00000-of-00001.arrow").rename(made / "b-train.arrow")
    info = json.loads((made / "dataset_info.json").read_text())
    info |= {"config_name": "default", "dataset_name": "b", "splits": {"train": {"name": "train", "num_examples": 2}}}
    (made / "dataset_info.json").write_text(json.dumps(info))


def test_a_data_package_is_its_messages(tmp_path: Path) -> None:
    for name in (
        "Account/user.json",
        "Activity/a/events.json",
        "messages/index.json",
        "README.txt",
        "messages/c1/channel.json",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(ROW)
    (tmp_path / "messages/c1/messages.json").write_bytes(ROW)
    assert [name for _, name in files_below(tmp_path, links_into=())] == ["messages/c1/messages.json"]
