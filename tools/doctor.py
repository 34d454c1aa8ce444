"""make doctor [NETWORK=1] [BUNDLE=1]: what is missing here, or will be, and what to do about it; changes nothing.

    python -m tools.doctor [--network] [--bundle]

Starts without any package, since missing packages are what it looks for. Without --network it stays on this machine.
--bundle writes parley-bug-report.json (tools/bundle.py). Exit status 1 after a failure.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from parley.errors import ParleyError
from tools import told
from tools.machine import Finding, disk, memory, packages, port, python

MARKS = {"ok": "ok     ", "warning": "WARNING", "failure": "FAILURE"}


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

    from parley.ingestion.inputs import files_of, format_of
    from parley.params import read_section
    from stages.ingest import Ingest
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
    from parley.modeling.models import Model
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
        from parley.modeling.hub import snapshot

        yield Finding("ok", "base model", f"{model.name}, commit {snapshot(model.name, model.revision).name}")
    elif isinstance(try_to_load_from_cache(model.name, "config.json", revision=model.revision or None), str):
        yield Finding("ok", "base model", f"{model.name}, in the local cache")
    else:
        remedy = "make doctor NETWORK=1 asks the Hub; offline, copy a cache and set HF_HOME"
        yield Finding("warning", "base model", f"{model.name}, not in the local cache: it will be downloaded", remedy)


def keys(root: Path) -> Iterator[Finding]:
    """Whether keys are there; none is ever printed."""
    from parley.judging.clients import ClientSettings, find_key
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
            yield Finding("warning", name, f"not checked: no module {error.name}", "see packages above")
        except (KeyError, TypeError, ValueError) as error:
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
        try:
            from tools.bundle import write_bundle
        except ImportError as error:
            raise ParleyError(
                f"no bundle without module {error.name}: make setup, or report what stands above"
            ) from None
        print(f"doctor: {write_bundle(root, found)}: look through it, then attach it to your report")
    sys.exit(any(finding.level == "failure" for finding in found))


if __name__ == "__main__":
    with told("doctor"):
        main()
