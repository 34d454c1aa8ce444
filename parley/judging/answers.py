"""A judge's answers: what a client brings back, how it fails, and the store that keeps each one.

The store is .judge/answers.sqlite beside params.yaml (in the DVC root, so that every experiment shares
it). One row is one paid answer, as it came:

    key (sha256) | attempt | client | model | finish | text | tokens_in | tokens_out | made (seconds since 1970)
"""

import functools
import hashlib
import json
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

from pydantic import BaseModel

FORMAT = 1  # of the key: another number asks every question again


@dataclass(frozen=True, slots=True)
class Answer:
    """What a judge replied to one prompt, before anybody has parsed it."""

    finish: str  # "stop", or why there is no whole answer: "blocked", "safety", "max_tokens", "http_400" …
    text: str
    tokens_in: int = 0
    tokens_out: int = 0  # what the judge thought included


class Fault(Exception):
    """The call brought no answer. `kind` is "http_<status>", "network", "timeout" or "bad_body"."""

    def __init__(self, kind: str, *, passing: bool, wait: float | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.passing = passing  # another try may succeed
        self.wait = wait  # seconds that the server asks for before the next call


# A client in parley/judges is a module with KEYS (environment variables that may hold its key, in order;
# none for a client without one), HOST (its own endpoint) and connect(...) -> Ask.
Ask = Callable[[str, type[BaseModel], int], Answer]  # (prompt, form of the reply, output tokens at most); raises Fault


def answer_key(client: str, host: str, model: str, prompt: str, form: type[BaseModel]) -> str:
    """What makes two questions the same question; the host is part of it, or a trial server could answer for Gemini."""
    parts = [FORMAT, client, host, model, prompt, _schema(form)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@functools.cache
def _schema(form: type[BaseModel]) -> str:
    return json.dumps(form.model_json_schema(), sort_keys=True)


class Store:
    """Answers by key; safe to share between threads and between processes."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # a judge's words may quote the conversation
        self._lock = threading.Lock()
        self._unwritten: deque[tuple[object, ...]] = deque()
        self._database = sqlite3.connect(path, timeout=60, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS answers (key TEXT, attempt INTEGER, client TEXT, model TEXT, finish TEXT,"
            " text TEXT, tokens_in INTEGER, tokens_out INTEGER, made REAL, PRIMARY KEY (key, attempt))"
        )
        # Reads go by a connection of their own, so that none waits for the disk behind a commit.
        self._reading = threading.Lock()
        self._reader = sqlite3.connect(path, timeout=60, check_same_thread=False, isolation_level=None)

    def read(self, key: str) -> list[Answer]:
        """Every answer to this question, in the order they came."""
        query = "SELECT finish, text, tokens_in, tokens_out FROM answers WHERE key = ? ORDER BY attempt"
        with self._reading:
            rows = self._reader.execute(query, (key,)).fetchall()
        return [Answer(*row) for row in rows]

    def keep(self, key: str, attempt: int, client: str, model: str, answer: Answer) -> None:
        """Commits one answer; when this returns it outlives the process, and a power cut.

        A commit waits for the disk. Whoever gets the lock writes what all the others have brought meanwhile, so that
        many threads wait for few commits.
        """
        self._unwritten.append((key, attempt, client, model, *astuple(answer), time.time()))
        with self._lock:
            rows = [self._unwritten.popleft() for _ in range(len(self._unwritten))]
            if rows:
                self._write(rows)

    def _write(self, rows: list[tuple[object, ...]]) -> None:
        """One commit, or, on a full disk, none: then whoever brought a row tries again and meets the same error."""
        try:
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            self._database.execute("COMMIT")
        except sqlite3.Error:
            self._unwritten.extend(rows)
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def contents(self) -> list[tuple[str, str, int, int, int, int, float, float]]:
        """(client, model, answers, unusable ones, tokens in, tokens out, first, last) for each model asked."""
        query = (
            "SELECT client, model, COUNT(*), SUM(finish != 'stop'), SUM(tokens_in), SUM(tokens_out), MIN(made),"
            " MAX(made) FROM answers GROUP BY client, model ORDER BY client, model"
        )
        with self._lock:
            return self._database.execute(query).fetchall()

    def prune(self, *, model: str, before: float, really: bool) -> int:
        """Answers of `model` ("" for all) made before a time (seconds since 1970): how many; removed if `really`."""
        where, values = "FROM answers WHERE (? = '' OR model = ?) AND made < ?", (model, model, before)
        with self._lock:
            (count,) = self._database.execute(f"SELECT COUNT(*) {where}", values).fetchone()
            if really:
                self._database.execute("PRAGMA secure_delete=ON")  # a judge's words are overwritten, not only unlinked
                self._database.execute(f"DELETE {where}", values)
                self._database.execute("VACUUM")
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return int(count)

    def close(self) -> None:
        with self._lock, self._reading:
            self._reader.close()
            self._database.close()
