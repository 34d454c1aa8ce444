"""The store of answers: what `keep` has returned is on disk, whoever wrote it."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from parley.judging.answers import Answer, Store


def test_an_answer_is_on_disk_when_keep_returns_however_many_threads_bring_one(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    store = Store(path)

    def keep(number: int) -> int:
        store.keep(f"k{number}", 0, "c", "m", Answer("stop", f"text {number}"))
        with sqlite3.connect(path) as other:
            found: int = other.execute("SELECT COUNT(*) FROM answers WHERE key = ?", (f"k{number}",)).fetchone()[0]
        return found

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(keep, range(200))) == {1}
    assert store.read("k7") == [Answer("stop", "text 7")]
    store.close()


def test_on_a_full_disk_nobody_is_told_that_an_answer_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "answers.sqlite")
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages + 1}")

    def keep(number: int) -> bool:
        try:
            store.keep(f"k{number}", 0, "c", "m", Answer("stop", "x" * 5000))
        except sqlite3.OperationalError as error:
            assert "full" in str(error)
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(keep, range(40)))
    assert not all(told)
    assert [number for number, kept in enumerate(told) if kept and not store.read(f"k{number}")] == []
    store.close()


@pytest.mark.parametrize(("model", "before", "left"), [("", 1e12, 0), ("a", 1e12, 1), ("", 0, 3), ("b", 0, 3)])
def test_pruning_takes_the_model_and_the_age_that_are_named(
    tmp_path: Path, model: str, before: float, left: int
) -> None:
    store = Store(tmp_path / "answers.sqlite")
    for number, name in enumerate(("a", "a", "b")):
        store.keep(f"k{number}", 0, "c", name, Answer("stop" if number else "safety", "text", 3, 2))
    assert [row[:6] for row in store.contents()] == [("c", "a", 2, 1, 6, 4), ("c", "b", 1, 0, 3, 2)]
    assert store.prune(model=model, before=before, really=False) == 3 - left
    assert store.prune(model=model, before=before, really=True) == 3 - left
    assert sum(row[2] for row in store.contents()) == left
    store.close()
