"""docs/add_a_format.md, followed to the letter in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/add_a_format.md").read_text(encoding="utf-8")


def test_a_newcomer_adds_a_format_by_one_file_and_one_sample(tmp_path: Path) -> None:
    assert len(PAGE.splitlines()) <= 60
    for folder in ("parley", "stages", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "tools"))
    for file in ("pyproject.toml", "params.yaml"):
        shutil.copy(ROOT / file, tmp_path)
    places = re.findall(
        r"`((?:parley|tests)/\S*guestbook\S*)`[^`]*\n\n?```\w+\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE
    )
    assert len(places) == 3
    for place, content in places:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(content, encoding="utf-8")
    command = re.search(r"`python -m (pytest [^`]+)`", PAGE)
    assert command
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    ran = subprocess.run(
        [sys.executable, "-m", *command[1].split(), "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=tmp_path, env=clean | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert " 1 passed" in ran.stdout
