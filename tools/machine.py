"""The machine's part of `make doctor`: Python, packages, disk, memory, port. No package is imported at the top."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

GB = 10**9
DISK = 5 * GB  # a small Hub model with its outputs; the embedded walk takes a tenth, below which nothing starts
MEMORY = 3 * GB  # the embedded walk's largest stage takes 2.6 GB: bench/results/walk.md
PORT = 7860  # of the chat page
GLIBC = (2, 28)  # of the locked packages' wheels


class Finding(NamedTuple):
    """One line of what was found."""

    level: str  # ok, warning or failure
    subject: str
    says: str
    remedy: str = ""


def python(root: Path) -> Iterator[Finding]:
    """The interpreter, the system, and git, make and glibc beside it."""
    version, running = platform.python_version(), sys.version_info[:2]
    if running < (3, 11):
        yield Finding("failure", "python", version, "make PYTHON=/path/to/python3.11 setup")
    elif running > (3, 11):
        yield Finding("warning", "python", f"{version}; the lock was made on 3.11", "make PYTHON=python3.11 setup")
    else:
        yield Finding("ok", "python", version)
    system = f"{platform.system()} {platform.machine()}"
    libc = platform.libc_ver()[1]
    if system != "Linux x86_64":
        yield Finding("warning", "system", f"{system}: not tested", "Linux on x86-64, or a container of it")
    elif libc and tuple(map(int, libc.split(".")[:2])) < GLIBC:
        yield Finding("failure", "system", f"glibc {libc}; the packages need 2.28", "a newer Linux, or a container")
    else:
        yield Finding("ok", "system", f"{system}, glibc {libc or 'unknown'}, {os.cpu_count()} cores")
    for tool in ("git", "make"):
        if shutil.which(tool) is None:
            yield Finding("failure", tool, "not found", f"install {tool}")


def packages(root: Path) -> Iterator[Finding]:
    """What is installed against the lock."""
    name = "gpu" if shutil.which("nvidia-smi") else "cpu"
    ready = list((root / ".venv").glob("ready-*"))
    if not (root / f".venv/ready-{name}").is_file() and ready:
        name = ready[0].name.replace("ready-", "")
    lock = root / f"requirements/{name}.txt"
    if not lock.is_file():
        yield Finding("failure", "packages", f"{lock} is not there", f"git checkout {lock}")
        return
    wanted = dict(line.split("==") for line in lock.read_text().splitlines() if "==" in line and line[0] != "#")
    wrong = []
    for package, version in wanted.items():
        try:
            found = importlib.metadata.version(package).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            found = "missing"
        if found != version:
            wrong.append(f"{package} {found}, not {version}")
    if wrong and not ready:
        says = f"{len(wrong)} of {len(wanted)} are not installed yet"
        yield Finding("failure", "packages", says, "make setup; every other command does it too")
    elif wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        says = f"{len(wrong)} of {len(wanted)} are not as in {lock}: {'; '.join(wrong[:3])}{more}"
        yield Finding("failure", "packages", says, "rm -f .venv/ready-*; make setup")
    else:
        yield Finding("ok", "packages", f"{len(wanted)} as in {lock}")


def disk(root: Path) -> Iterator[Finding]:
    """Room for outputs here, and for models of the Hub in their cache."""
    cache = Path(os.environ.get("HF_HOME") or Path.home() / ".cache/huggingface")
    for what, place in (("disk", root), ("disk of HF_HOME", next(p for p in (cache, *cache.parents) if p.exists()))):
        if what == "disk" or place.stat().st_dev != root.stat().st_dev:
            free = shutil.disk_usage(place).free
            level = "ok" if free >= DISK else "warning" if free >= DISK / 10 else "failure"
            says = f"{free / GB:.{1 if free > GB else 2}f} GB free"
            yield Finding(
                level, what, says, "" if level == "ok" else "free some; `.venv/bin/dvc gc -w` drops old runs' outputs"
            )


def memory(root: Path) -> Iterator[Finding]:
    """Free RAM, and the GPU's."""
    import psutil
    import torch

    free = psutil.virtual_memory().available
    level = "ok" if free >= MEMORY else "warning"
    yield Finding(level, "memory", f"{free / GB:.1f} GB free", "" if level == "ok" else "close programs; `make memory`")
    if torch.cuda.is_available():
        left, total = torch.cuda.mem_get_info()
        says = f"{torch.cuda.get_device_name()}, {left / GB:.1f} of {total / GB:.1f} GB free"
        bf16 = torch.cuda.get_device_capability() >= (8, 0)
        says += ", bf16" if bf16 else ", no bf16: train.precision auto takes fp16"
        level = "ok" if left > total / 2 else "warning"
        yield Finding(level, "gpu", says, "" if level == "ok" else "nvidia-smi names who holds the rest")
    elif shutil.which("nvidia-smi"):
        cuda = torch.version.cuda
        if cuda:
            yield Finding("failure", "gpu", f"the driver is too old for CUDA {cuda}", "update the driver, then restart")
        else:
            yield Finding("warning", "gpu", "there is one, and the packages are for CPUs", "make setup LOCK=gpu")
    else:
        from parley.modeling.models import computes_bf16

        yield Finding("ok", "gpu", f"none; CPU {'with' if computes_bf16() else 'without'} fast bf16")


def port(root: Path) -> Iterator[Finding]:
    """The chat page's port."""
    with socket.socket() as server:
        try:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", PORT))
            yield Finding("ok", "port", f"{PORT} is free")
        except OSError:
            yield Finding("warning", "port", f"{PORT} is taken", f"make chat-web ARGS='--port {PORT + 1}'")
