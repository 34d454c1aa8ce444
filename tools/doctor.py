"""make doctor [NETWORK=1] [BUNDLE=1]: what is missing here, or will be, and what to do about it; changes nothing.

    python -m tools.doctor [--network] [--bundle]

Starts without any package, since missing packages are what it looks for. Without --network it stays on this machine.
--bundle writes parley-bug-report.json (tools/bundle.py). Exit status 1 after a failure.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from parley.errors import ParleyError

GB = 10**9
DISK = 5 * GB  # a small Hub model with its outputs; the embedded walk takes a tenth, below which nothing starts
MEMORY = 3 * GB  # the embedded walk's largest stage takes 2.6 GB: bench/results/walk.md
PORT = 7860  # of the chat page
GLIBC = (2, 28)  # of the locked packages' wheels
MARKS = {"ok": "ok     ", "warning": "WARNING", "failure": "FAILURE"}


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
    if not (root / f".venv/ready-{name}").is_file() and list((root / ".venv").glob("ready-*")):
        name = next((root / ".venv").glob("ready-*")).name.replace("ready-", "")
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
    if wrong:
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
            yield Finding(level, what, says, "" if level == "ok" else "free some; `dvc gc -w` drops old runs' outputs")


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
        from parley.models import computes_bf16

        yield Finding("ok", "gpu", f"none; CPU {'with' if computes_bf16() else 'without'} fast bf16")


def repository(root: Path) -> Iterator[Finding]:
    """git's and DVC's state."""
    from tools.preflight import ready_for_dvc

    ready_for_dvc(root)
    changed = subprocess.run(["git", "status", "--short"], cwd=root, capture_output=True, text=True, check=False).stdout
    made = "dvc.lock is there" if (root / "dvc.lock").is_file() else "nothing has run yet"
    yield Finding("ok", "git, dvc", f"{len(changed.splitlines())} changed files; {made}")


def settings(root: Path) -> Iterator[Finding]:
    """params.yaml, its plug-ins, trackers and strategy: as before every run."""
    from tools.preflight import check_params, check_training

    check_params(root)
    check_training(root)
    yield Finding("ok", "params.yaml", "every key is known and within its range")


def data(root: Path) -> Iterator[Finding]:
    """The files of ingest.input and the formats that they look like; archives stay packed."""
    from collections import Counter

    from parley.params import read_section
    from stages.ingest import Ingest, files_of, format_of
    from tools.preflight import check_input

    check_input(root)
    params = read_section(root, "ingest", Ingest)
    kinds: Counter[str] = Counter()
    for path, name in files_of(root, params.input, params.files):
        packed = re.search(r"\.(zip|gz|zst|parquet|arrow|csv|tsv|hub)$", name, re.IGNORECASE)
        kinds[packed[1].lower() if packed else format_of(path, name, params.format)] += 1
    says = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    yield Finding("ok", "data", f"{params.input}: {says}")


def base(root: Path, network: bool = False) -> Iterator[Finding]:
    """The base model: made here, a folder, in the cache, or (with `network`) on the Hub."""
    from parley.models import Model
    from parley.params import read_section

    model = read_section(root, "model", Model)
    if model.name == "parley-tiny":
        yield Finding("ok", "base model", "parley-tiny, made here")
        return
    if (root / model.name).is_dir():
        known = (root / model.name / "config.json").is_file()
        remedy = "" if known else "model.name: a folder with config.json and safetensors"
        yield Finding("ok" if known else "failure", "base model", "a local folder", remedy)
        return
    from huggingface_hub import try_to_load_from_cache

    if network:
        from parley.hub import snapshot

        yield Finding("ok", "base model", f"{model.name}, commit {snapshot(model.name, model.revision).name}")
    elif isinstance(try_to_load_from_cache(model.name, "config.json", revision=model.revision or None), str):
        yield Finding("ok", "base model", f"{model.name}, in the local cache")
    else:
        remedy = "make doctor NETWORK=1 asks the Hub; offline, copy a cache and set HF_HOME"
        yield Finding("warning", "base model", f"{model.name}, not in the local cache: it will be downloaded", remedy)


def keys(root: Path) -> Iterator[Finding]:
    """Whether keys are there; none is ever printed."""
    from parley.clients import ClientSettings, find_key
    from parley.params import read_yaml
    from parley.plugins import plugin

    judge = read_yaml(root / "params.yaml")["judge"]
    params = ClientSettings.model_validate({key: judge[key] for key in ClientSettings.model_fields})
    if params.client == "none":
        yield Finding("ok", "judge", "judge.client is none")
    else:
        client = plugin("judges", params.client, key="judge.client")
        found = find_key(client.KEYS, root)
        if found or not client.KEYS:
            yield Finding("ok", "judge", f"{params.client}{f', {found[0]} is set' if found else ', needs no key'}")
        else:
            remedy = f"{client.KEYS[0]}=... in .env, then `make eval`; or judge.client: none"
            yield Finding("warning", "judge", f"no {client.KEYS[0]}: judged metrics stay unscored", remedy)
    token = os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN")
    yield Finding("ok", "HF_TOKEN", "set" if token else "not set: only gated and private models need it")


def port(root: Path) -> Iterator[Finding]:
    """The chat page's port."""
    with socket.socket() as server:
        try:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", PORT))
            yield Finding("ok", "port", f"{PORT} is free")
        except OSError:
            yield Finding("warning", "port", f"{PORT} is taken", f"make chat-web ARGS='--port {PORT + 1}'")


CHECKS: tuple[Callable[[Path], Iterator[Finding]], ...]
CHECKS = (python, packages, disk, memory, repository, settings, data, base, keys, port)


def examine(root: Path, *, network: bool = False) -> Iterator[Finding]:
    """Every finding; a check that cannot go on is a failure, and the next one follows."""
    for check in CHECKS:
        name = check.__name__
        try:
            yield from base(root, network) if check is base else check(root)
        except ParleyError as error:
            for line in str(error).splitlines():
                yield Finding("failure", name, line)
        except ImportError as error:
            yield Finding("warning", name, f"not checked: no module {error.name}")
        except (KeyError, ValueError) as error:
            yield Finding(
                "failure", name, f"not checked: {type(error).__name__} in params.yaml", "see params.yaml above"
            )


def main() -> None:
    root, found = Path(), []
    for finding in examine(root, network="--network" in sys.argv):
        found.append(finding)
        remedy = f"\n{'':25}-> {finding.remedy}" if finding.remedy else ""
        print(f"{MARKS[finding.level]} {finding.subject:16} {finding.says}{remedy}", flush=True)
    if "--bundle" in sys.argv:
        from tools.bundle import write_bundle

        print(f"doctor: {write_bundle(root, found)}: look through it, then attach it to your report")
    sys.exit(any(finding.level == "failure" for finding in found))


if __name__ == "__main__":
    main()
