"""The machine changes no byte of what the data stages write: its zone, language, hash seed, cores, order of files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from workspace import set_params

ROOT = Path(__file__).parents[2]
WALK = "from pathlib import Path; from stages import ingest, convert, validate as v; p = Path();"
WALK += "ingest.main(p); convert.main(p); v.main(p)"
MACHINES = [
    {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1"},
    {"TZ": "America/New_York", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "2"},
    {"TZ": "Asia/Kathmandu", "LC_ALL": "ja_JP.eucJP", "PYTHONHASHSEED": "3", "PYTHONUTF8": "0"},
]


def chat(channel: str, start: int) -> str:
    """An export in which the local clock goes back an hour (New York, 2024-11-03), with names that case folds apart."""
    messages = [
        {
            "id": str(start + number),
            "type": "Default",
            "timestamp": f"2024-11-03T0{5 + number // 30}:{2 * number % 60:02}:00+00:00",
            "content": f"Işık, Ölaf {channel}{number} ıİ https://a.example",
            "author": {
                "id": ("71", "72", "73")[number % 3],
                "name": ("Işık", "Ölaf", "ΣΑΣ")[number % 3],
                "isBot": False,
            },
        }
        for number in range(60)
    ]
    return json.dumps({"guild": {"id": "1"}, "channel": {"id": channel}, "messages": messages}, ensure_ascii=False)


def written(root: Path) -> dict[str, bytes]:
    files = (path for folder in ("data", "metrics") for path in sorted((root / folder).rglob("*")) if path.is_file())
    named = {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
    return {name: content for name, content in named.items() if not name.startswith(("data/raw", "metrics/timing"))}


@pytest.mark.slow
def test_zone_language_hash_seed_cores_and_order_of_files_change_no_byte(tmp_path: Path) -> None:
    found = []
    for number, machine in enumerate(MACHINES):
        root = tmp_path / str(number)
        (root / "data/raw").mkdir(parents=True)
        options = {"convert__target": "72", "convert__languages": ["tr", "en", "de"], "convert__session_gap_minutes": 5}
        set_params(
            root,
            ingest__input="data/raw",
            validate__min_split=1,
            validate__split="group",
            validate__near_duplicates=1,
            convert__max_turns=6,
            runtime__workers=1 + number % 2,
            **options,
        )
        names = ["b.json", "a.json", "rows.jsonl"]
        for name in names[::-1] if number else names:  # in which order the folder lists them
            rows = "".join(f'{{"question": "q{n} ?", "answer": "ä{n}"}}\n' for n in range(20))
            text = rows if name == "rows.jsonl" else chat(name[0], 100 * ord(name[0]))
            (root / "data/raw" / name).write_text(text, encoding="utf-8")
        environment = {**os.environ, **machine, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", WALK], cwd=root, env=environment, check=True)
        found.append(written(root))
    assert len(found[0]) == 14
    assert found[0] == found[1] == found[2]
