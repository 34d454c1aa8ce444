"""make setup: what it refuses before it changes anything."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_an_environment_behind_a_link_is_left_alone(tmp_path: Path) -> None:
    """It may be another checkout's, and setup clears what has no stamp."""
    other, place = tmp_path / "other", tmp_path / "here"
    for folder in (other, place):
        folder.mkdir()
    (other / "bin").touch()
    (place / ".venv").symlink_to(other)
    (place / "cpu.txt").write_text("dvc==1\n")
    command = ["sh", str(ROOT / "tools/setup.sh"), sys.executable, "cpu.txt", ".venv/ready-cpu"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and f"setup: .venv is a link to {other}" in done.stderr
    assert [path.name for path in other.iterdir()] == ["bin"] and not (place / ".git").exists()
