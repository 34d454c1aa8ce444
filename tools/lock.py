"""Writes requirements/cpu.txt and gpu.txt: every package that requirements/cpu.in needs, with its version.

`make lock` asks pip's own resolver and installs nothing. cpu.txt is resolved with this machine's pip
settings, which may point to a CPU build of torch; gpu.txt without them, so torch is the CUDA build with
its NVIDIA packages. Local labels (2.13.0+cpu) are cut off: the same line then fits both builds.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HEADER = "# Every package at the version that was tested, made by `make lock` from requirements/cpu.in. Do not edit.\n"


def resolve(wanted: Path, *, isolated: bool) -> list[str]:
    """Sorted `name==version` lines of everything that `wanted` needs; `isolated` ignores pip's settings."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", *(["--isolated"] if isolated else []), "install", "--quiet"]
        command += ["--dry-run", "--ignore-installed", "--report", str(report), "-r", str(wanted)]
        subprocess.run(command, check=True)
        found = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    return sorted(f"{item['name'].lower()}=={item['version'].split('+')[0]}" for item in found)


def main() -> None:
    wanted = Path("requirements/cpu.in")
    for name, isolated in (("cpu", False), ("gpu", True)):
        lines = resolve(wanted, isolated=isolated)
        Path(f"requirements/{name}.txt").write_text(HEADER + "\n".join(lines) + "\n")
        print(f"requirements/{name}.txt: {len(lines)} packages")


if __name__ == "__main__":
    main()
