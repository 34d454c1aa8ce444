"""How fast ingest reads a Discord export, beside json.load on the same file.

    python bench/data.py --mb 200 --rounds 2

Makes an export (as DiscordChatExporter writes it: indented, every field), runs each reader in a process of its own,
in turns, and prints MB per CPU-second and the peak memory. `--shape minified` or `reversed` for the other layouts.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

WORDS = (
    "the",
    "a",
    "of",
    "to",
    "and",
    "in",
    "is",
    "it",
    "you",
    "that",
    "was",
    "for",
    "on",
    "are",
    "with",
    "as",
    "they",
)
START = datetime(2024, 1, 1, tzinfo=UTC)
CHANNEL = {
    "id": "400000000000000001",
    "type": "GuildTextChat",
    "categoryId": "3",
    "category": "Text",
    "name": "general",
}


def message(number: int, draw: random.Random) -> dict[str, Any]:
    """One message with every field that the exporter writes."""
    time_ = START + timedelta(seconds=number)
    person = draw.randrange(20)
    roles = [{"id": str(n), "name": f"role {n}", "color": None, "position": n} for n in range(person % 3)]
    author = {
        "id": str(900_000_000_000_000_000 + person),
        "name": f"person{person}",
        "discriminator": "0000",
        "nickname": f"Person {person}",
        "color": "#E91E63",
        "isBot": person == 19,
        "roles": roles,
        "avatarUrl": "https://cdn.example/embed/avatars/1.png",
    }
    parent = {"reference": {"messageId": str(snowflake(time_ - timedelta(seconds=1))), "channelId": CHANNEL["id"]}}
    return {
        "id": str(snowflake(time_)),
        "type": "Reply" if number % 7 == 0 else "Default",
        "timestamp": time_.isoformat(timespec="milliseconds"),
        "timestampEdited": None,
        "callEndedTimestamp": None,
        "isPinned": False,
        "content": " ".join(draw.choices(WORDS, k=draw.randint(1, 40))),
        "author": author,
        "attachments": [],
        "embeds": [],
        "stickers": [],
        "reactions": [],
        "mentions": [{key: author[key] for key in ("id", "name", "nickname")}] if number % 11 == 0 else [],
        **(parent if number % 7 == 0 else {}),
        "inlineEmojis": [],
    }


def snowflake(when: datetime) -> int:
    """The id that Discord would give a message of that moment."""
    return (int(when.timestamp() * 1000) - 1_420_070_400_000) << 22


def write_export(path: Path, size: int, shape: str) -> None:
    """An export of about `size` bytes: indented, minified, or indented and newest first."""
    indent = None if shape == "minified" else 2
    draw = random.Random(7)
    one = len(json.dumps(message(1, draw), indent=indent)) * 11 // 10
    numbers: Any = range(size // one)
    head = {"guild": {"id": "1", "name": "Bench"}, "channel": CHANNEL, "exportedAt": "2025-01-01T00:00:00+00:00"}
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head, indent=indent)[:-1].rstrip() + ', "messages": [')
        gap = "\n    " if indent else ""
        for place, number in enumerate(reversed(numbers) if shape == "reversed" else numbers):
            text = json.dumps(message(number, draw), indent=indent, ensure_ascii=False).replace("\n", "\n    ")
            file.write(f",{gap or ' '}{text}" if place else gap + text)
        file.write('\n  ],\n  "messageCount": 1\n}\n')


def by_ingest(path: Path) -> None:
    """The whole stage: to records on disk."""
    from stages import ingest

    with tempfile.TemporaryDirectory() as folder:
        params = {"input": str(path), "files": "*", "format": "auto", "columns": {}, "date_order": "auto"}
        (Path(folder) / "params.yaml").write_text(json.dumps({"ingest": params}))
        ingest.main(Path(folder))


def by_json(path: Path) -> None:
    """json.load: to nowhere."""
    with path.open("rb") as file:
        json.load(file)


READERS: dict[str, Callable[[Path], None]] = {"ingest": by_ingest, "json.load": by_json}


def measure(reader: str, path: Path) -> None:
    """Runs one reader in this process and prints CPU seconds, imports left out, and peak memory as JSON."""
    import stages.ingest  # noqa: F401

    start = time.process_time()
    READERS[reader](path)
    seconds = time.process_time() - start
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def table(path: Path, rounds: int) -> Iterator[str]:
    """One line a run, the readers in turns."""
    size = path.stat().st_size / 1e6
    yield f"{size:.0f} MB"
    for _ in range(rounds):
        for reader in READERS:
            command = [sys.executable, __file__, "--reader", reader, "--file", str(path)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds, memory = json.loads(done.stdout)
            yield f"{reader:10} {size / seconds:7.0f} MB/CPU-s {memory:7.0f} MB peak"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--shape", choices=["indented", "minified", "reversed"], default="indented")
    parser.add_argument("--reader", choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reader:
        return measure(options.reader, options.file)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export.json"
        write_export(path, options.mb * 1_000_000, options.shape)
        for line in table(path, options.rounds):
            print(line, flush=True)


if __name__ == "__main__":
    main()
