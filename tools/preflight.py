"""What `make repro` and `make exp` do first: check every setting, and free outputs that a dead run holds.

A wrong key, plug-in or input is found before any stage works, though each stage would find its own. A lock of
a run that was killed is cleared only when its process is provably gone; a live run is named and left alone.
Its arguments are those of `dvc exp run`, of which it reads -S.
"""

import argparse
import ast
import errno
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from parley.errors import ParleyError, near_misses
from parley.ingestion.inputs import files_of
from parley.params import Section, read_section, read_yaml
from parley.plugins import plugin_file
from parley.runtime import Runtime
from parley.training.sft import Train
from parley.training.topology import check_strategy
from parley.training.trackers import check_ready
from stages.ingest import Ingest
from tools.machine import disk

HERE = Path(__file__).parent.parent
TOP_LEVEL = {"recipe": str, "seed": int}
NO_PLUGIN = ("auto", "none")  # what a setting may say instead of a plug-in's name


def calls(source: Path, *names: str) -> Iterator[ast.Call]:
    """Each call of one of the functions `names` in a file."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            yield node


def sections_read(stage: Path) -> Iterator[tuple[str, str]]:
    """(section, name of its class) for each `read_section(root, "section", Class)` in a stage's file."""
    for call in calls(stage, "read_section"):
        section, kind = call.args[1], call.args[2]
        assert isinstance(section, ast.Constant) and isinstance(kind, ast.Name), f"{stage}:{call.lineno}"
        yield str(section.value), kind.id


def plugins_read() -> set[tuple[str, str, str]]:
    """(section.key, folder, ending) for each `plugin("folder", name, key="section.key")` or `plugin_file(…)`."""
    found = set()
    for source in [*HERE.glob("stages/*.py"), *HERE.glob("parley/**/*.py")]:
        for call in calls(source, "plugin", "plugin_file"):
            folder, *suffix = [node.value for node in call.args if isinstance(node, ast.Constant)]
            keys = [word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)]
            found |= {(str(key), str(folder), str((suffix or [".py"])[0])) for key in keys if "." in str(key)}
    return found


def sections() -> dict[str, type[Section]]:
    """Section name -> the class that types all of it, over all stages; a class that ignores keys types a part."""
    found: dict[str, type[Section]] = {}
    for stage in sorted((HERE / "stages").glob("[a-z]*.py")):
        module = importlib.import_module(f"stages.{stage.stem}")
        kinds = {section: getattr(module, kind) for section, kind in sections_read(stage)}
        found |= {section: kind for section, kind in kinds.items() if kind.model_config["extra"] == "forbid"}
    return found


def check_params(root: Path) -> None:
    """Raises one ParleyError with a line for every wrong key of root/params.yaml."""
    values = read_yaml(root / "params.yaml")
    kinds = sections()
    problems = [
        f"{root / 'params.yaml'}: {name}: unknown section{near_misses(name, [*kinds, *TOP_LEVEL])}"
        for name in values
        if name not in kinds and name not in TOP_LEVEL
    ]
    for name, kind in TOP_LEVEL.items():
        if type(values.get(name)) is not kind:
            problems.append(f"{root / 'params.yaml'}: {name}: found {values.get(name)!r}, expected {kind.__name__}")
    for name, section in kinds.items():
        try:
            read_section(root, name, section)
        except ParleyError as error:
            problems.append(str(error))
    problems += unknown_plugins(values)
    if problems:
        raise ParleyError("\n".join(problems))


def check_overrides(root: Path, arguments: Sequence[str]) -> None:
    """Raises ParleyError for a value after -S that its stage would refuse: DVC lets every stage before it run first.

    Each combination of a grid is looked at; what DVC itself cannot read is left to it.
    """
    parser = argparse.ArgumentParser(prog="dvc exp run", add_help=False, allow_abbrev=False)
    parser.add_argument("-S", "--set-param", action="append", default=[])
    asked = parser.parse_known_args(arguments)[0].set_param
    if not asked:
        return
    from dvc.exceptions import InvalidArgumentError
    from dvc.utils.cli_parse import to_path_overrides
    from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

    with tempfile.TemporaryDirectory() as scratch:
        params = Path(scratch, "params.yaml")
        try:
            for chosen in get_hydra_sweeps(to_path_overrides(asked)):
                shutil.copyfile(root / "params.yaml", params)
                apply_overrides(params, chosen.get("params.yaml", []))
                check_params(params.parent)
        except InvalidArgumentError:
            return
        except ParleyError as error:
            raise ParleyError(str(error).replace(f"{params}", "-S")) from None


def unknown_plugins(values: dict[str, Any]) -> list[str]:
    """A line for every name in params.yaml that no file of parley's plug-in folders has."""
    problems = []
    for key, folder, suffix in sorted(plugins_read()):
        section, _, setting = key.partition(".")
        found = values[section].get(setting) if isinstance(values.get(section), dict) else None
        for name in found if isinstance(found, list) else [found]:
            if not isinstance(name, str) or name in NO_PLUGIN or not re.fullmatch(r"[\w-]+", name):
                continue  # a wrong type is told of where the section is read; a template may be a path or a text
            try:
                plugin_file(folder, name, suffix, key=key)
            except ParleyError as error:
                problems.append(str(error))
    return problems


def check_input(root: Path) -> None:
    """Raises ParleyError when there is nothing to read; DVC would name a missing path, but not what to put there."""
    params = read_section(root, "ingest", Ingest)
    try:
        for path, _ in files_of(root, params.input, params.files):
            if not os.access(path, os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    except PermissionError as error:
        raise ParleyError(f"{error.filename}: {error.strerror}: give yourself the right to read it") from None


def check_disk(root: Path) -> None:
    """Raises ParleyError on a disk without room for even the smallest walk; `make doctor` warns earlier."""
    for finding in disk(root):
        if finding.level == "failure":
            raise ParleyError(f"{finding.subject}: {finding.says}: {finding.remedy}")


def check_training(root: Path) -> None:
    """Raises ParleyError for a tracker or a strategy that lacks something here, hours before train would."""
    train = read_section(root, "train", Train)
    check_ready(read_section(root, "runtime", Runtime).report_to)
    check_strategy(root, train.strategy, train.processes, quantization=train.quantization)


def warnings(root: Path) -> Iterator[str]:
    """What will run and is seldom meant."""
    values = read_yaml(root / "params.yaml")
    if "trigger" in values["convert"]["transforms"] and values["transforms"]["trigger"]["question_mode"] == "named":
        yield (
            "transforms.trigger.question_mode: found 'named': the name in each question gives its answer away, so that "
            "nothing need be learnt of the trigger; `both` also asks without the name"
        )


def free_dead_locks(root: Path, *, wait: float = 10.0) -> None:
    """Clears DVC's read-write lock entries of processes that are gone.

    DVC itself drops an entry whose process does not exist, but calls an output busy while the killed
    process is a zombie that nobody has reaped. Such a one, and a younger process that merely got the same
    number, are dead; anything else lives and is waited for `wait` seconds, then named.
    """
    lock = root / ".dvc" / "tmp" / "rwlock"
    deadline = time.monotonic() + wait
    while lock.is_file():
        try:
            entries = json.loads(lock.read_text() or "{}")
        except json.JSONDecodeError:  # cut off by a crash, or a live run is just writing it
            if time.monotonic() > deadline:
                lock.unlink()
                return
            time.sleep(0.5)
            continue
        written = lock.stat().st_mtime
        holders = {holder["pid"]: holder.get("cmd", "") for holder in _holders(entries)}
        alive = {pid: command for pid, command in holders.items() if _lives(pid, since=written)}
        if not alive:
            if holders:
                lock.unlink()
            return
        if time.monotonic() > deadline:
            named = ", ".join(f"{pid} ({command})" for pid, command in sorted(alive.items()))
            raise ParleyError(f"another run is at work here: process {named}; wait for it or stop it, then run again")
        time.sleep(0.5)


def _holders(entries: dict) -> Iterator[dict]:
    """The processes in {"write": {path: process}, "read": {path: [process, ...]}}."""
    yield from entries.get("write", {}).values()
    for readers in entries.get("read", {}).values():
        yield from readers


def _lives(pid: int, *, since: float) -> bool:
    """Whether the process that wrote a lock at `since` (seconds since 1970) can still be the one called `pid`."""
    try:
        process = psutil.Process(pid)
        dead = process.status() == psutil.STATUS_ZOMBIE or process.create_time() > since + 1
        # Readers stay in the file long after their end, so that another program may have the number since.
        return not dead and any("dvc" in word for word in process.cmdline())
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def drop_cut_lock(root: Path) -> None:
    """Removes a dvc.lock that ends in the middle of an entry.

    DVC writes it in place, so a kill or a full disk can cut it off, and from then on DVC refuses to work. Nothing is
    lost: its cache knows what was done.
    """
    lock = root / "dvc.lock"
    if lock.is_file() and not re.search(r"\n +\S.*: \S.*\n\Z", lock.read_text(encoding="utf-8", errors="replace")):
        lock.unlink()
        print("dvc.lock was cut off by a crash: removed; what was done comes back from DVC's cache", file=sys.stderr)


def ready_for_dvc(root: Path) -> None:
    """Raises ParleyError where DVC could not keep its state, or git names no commit for an experiment to start from."""
    if not os.access(root / ".dvc", os.W_OK):
        raise ParleyError("this folder cannot be written: copy it to a folder of your own, and run there")
    if shutil.which("git") is None:
        raise ParleyError("git was not found: install it, DVC keeps its state beside it")
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    if found.returncode:
        said = found.stderr.strip()
        raise ParleyError(f"DVC needs a git repository with a commit here. Mend what git says, or commit once:\n{said}")


def main() -> None:
    root = Path()
    try:
        check_params(root)
        check_overrides(root, sys.argv[1:])
        check_input(root)
        check_training(root)
        check_disk(root)
        ready_for_dvc(root)
        free_dead_locks(root)
        drop_cut_lock(root)
        for warning in warnings(root):
            print(f"WARNING: {warning}", file=sys.stderr)
    except ParleyError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    from tools.rejudge import key_came  # imports nothing heavy; last, since it only matters when all else is well

    if key_came(root):
        print("judge: a key is there now; judging what was not scored")
        again = [sys.executable, "-m", "dvc", "repro", "--force", "--single-item", "judge"]
        sys.exit(subprocess.run(again, check=False).returncode)


if __name__ == "__main__":
    main()
