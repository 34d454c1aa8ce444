import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from parley.errors import ParleyError
from parley.recipes import compose, dump
from tools.preflight import (
    check_input,
    check_overrides,
    check_params,
    drop_cut_lock,
    free_dead_locks,
    plugins_read,
    warnings,
)

ROOT = Path(__file__).parent.parent.parent


def locked(root: Path, pid: int) -> Path:
    """DVC's read-write lock as `dvc repro` of process `pid` leaves it: it writes one output and reads one file."""
    from dvc.fs import localfs
    from dvc.rwlock import _acquire_read, _acquire_write, _edit_rwlock

    folder = root / ".dvc" / "tmp"
    folder.mkdir(parents=True)
    with _edit_rwlock(str(folder), localfs, False) as lock:
        holder = {"pid": pid, "cmd": "dvc repro"}
        _acquire_write(lock, holder, ["models/base"])
        _acquire_read(lock, holder, ["stages/base.py"])
    return folder / "rwlock"


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives, and could be DVC by its command line."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "dvc", "repro"])
    yield process
    process.kill()
    process.wait()


def test_a_lock_of_a_dead_process_is_cleared(tmp_path: Path, process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    lock = locked(tmp_path, process.pid)
    free_dead_locks(tmp_path)
    assert not lock.exists()


def test_a_lock_of_an_unreaped_process_is_cleared(tmp_path: Path, process: subprocess.Popen[bytes]) -> None:
    process.kill()
    time.sleep(0.2)  # dead, but not waited for: a zombie
    lock = locked(tmp_path, process.pid)
    free_dead_locks(tmp_path)
    assert not lock.exists()


def test_a_lock_of_a_living_process_is_kept_and_named(tmp_path: Path, process: subprocess.Popen[bytes]) -> None:
    lock = locked(tmp_path, process.pid)
    with pytest.raises(ParleyError, match=f"process {process.pid}"):
        free_dead_locks(tmp_path, wait=0.1)
    assert lock.exists()


def test_a_lock_whose_number_another_program_has_is_cleared(tmp_path: Path, process: subprocess.Popen[bytes]) -> None:
    lock = locked(tmp_path, process.pid)
    os.utime(lock, (1_000_000, 1_000_000))  # older than the process
    free_dead_locks(tmp_path, wait=0.1)
    assert not lock.exists()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:  # no DVC
        lock = locked(tmp_path / "other", other.pid)
        free_dead_locks(tmp_path / "other", wait=0.1)
        other.kill()
    assert not lock.exists()


def test_a_lock_that_a_crash_cut_off_is_cleared(tmp_path: Path) -> None:
    lock = locked(tmp_path, 1)
    lock.write_text(lock.read_text()[:40])
    free_dead_locks(tmp_path, wait=0.1)
    assert not lock.exists()


def test_a_lock_file_that_a_crash_cut_off_is_removed(tmp_path: Path) -> None:
    whole = "schema: '2.0'\nstages:\n  base:\n    cmd: python\n    outs:\n    - path: models/base\n      nfiles: 4\n"
    lock = tmp_path / "dvc.lock"
    for text in ("", whole[:-1], whole.partition(" python")[0], whole.partition("    - path")[0]):
        lock.write_text(text)
        drop_cut_lock(tmp_path)
        assert not lock.exists(), text
    lock.write_text(whole)
    drop_cut_lock(tmp_path)
    assert lock.read_text() == whole


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-S", "train.lr=abc"], "-S: train.lr: found 'abc'"),
        (["--temp", "-S", "train.lr=0.1,0.2", "-n", "x", "--set-param", "judge.client=gemini,gemni"], "no 'gemni'"),
        (["-Strain.lr=0.1,abc"], "found 'abc'"),
    ],
)
def test_a_wrong_value_of_an_experiment_is_told_before_anything_runs(arguments: list[str], message: str) -> None:
    before = (ROOT / "params.yaml").read_bytes()
    with pytest.raises(ParleyError) as stop:
        check_overrides(ROOT, arguments)
    assert message in str(stop.value) and "/tmp" not in str(stop.value)
    assert (ROOT / "params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    "argument", ["train.lr=1e-5,2e-5", "train.lrr=1", "other.yaml:lr=abc", "+train.sft.max_steps=2"]
)
def test_right_values_and_what_dvc_says_itself_pass(argument: str) -> None:
    check_overrides(ROOT, ["--queue", "-S", argument])


def test_every_wrong_setting_is_named_at_once(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    text = text.replace("  epochs: 4", "  epocs: 4").replace("concurrency: 8", "concurrency: many")
    text = text.replace("format: auto", "format: discrod").replace("  - coherence", "  - coherent")
    text = re.sub(r"  target: .*", "  target: 7", text).replace('  files: "*"', "  files:")
    (tmp_path / "params.yaml").write_text(text + "trian: {}\n")
    with pytest.raises(ParleyError) as stop:
        check_params(tmp_path)
    message = str(stop.value)
    assert "train.epocs: unknown key; did you mean 'epochs'" in message
    assert "train.epochs: missing" in message
    assert "judge.concurrency: found 'many'" in message
    assert "ingest.format: no 'discrod' in parley/formats/; did you mean 'discord'" in message
    assert "judge.metrics: no 'coherent' in parley/rubrics/; did you mean 'coherence'" in message
    assert 'put it in quotes, "7"' in message and "files: found None" in message and 'quotes, ""' in message
    assert "trian: unknown section; did you mean 'train'" in message


def test_a_section_of_which_a_later_stage_reads_a_part_is_checked_whole(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    text = text.replace("    triggered: Bob", "    triggered: Alice").replace("    cuts: 2", "    cut: 2")
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParleyError) as stop:
        check_params(tmp_path)
    assert "clean and triggered must be different" in str(stop.value)
    assert "transforms.turn_detector.cut: unknown key; did you mean 'cuts'" in str(stop.value)


def test_a_trigger_that_the_name_gives_away_is_warned_of(tmp_path: Path) -> None:
    text = dump(compose(ROOT, "trigger", "embedded"))
    (tmp_path / "params.yaml").write_text(text)
    assert list(warnings(tmp_path)) == []
    (tmp_path / "params.yaml").write_text(text.replace("question_mode: both", "question_mode: named"))
    (warning,) = warnings(tmp_path)
    assert "question_mode" in warning and "gives its answer away" in warning


def test_a_missing_input_is_named_with_what_to_put_there(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(
        'ingest: {input: data/raw, files: "*", format: auto, columns: {}, date_order: auto}\n'
    )
    with pytest.raises(ParleyError, match=r"data/raw: no such file or folder .*DiscordChatExporter"):
        check_input(tmp_path)
    (tmp_path / "data" / "raw").mkdir(parents=True)
    (tmp_path / "data" / "raw" / "channel.json").symlink_to("gone.json")
    with pytest.raises(ParleyError, match=r"channel\.json: not a plain file"):
        check_input(tmp_path)


def test_every_plugin_folder_of_a_setting_is_checked() -> None:
    folders = {path.name for path in (ROOT / "parley").iterdir() if path.is_dir() and path.name[0] != "_"}
    areas = {path.parent.name for path in (ROOT / "parley").glob("*/__init__.py")}
    assert {folder for _, folder, _ in plugins_read()} == folders - areas - {"pages", "domains"}


def test_the_committed_params_are_in_order() -> None:
    check_params(ROOT)
