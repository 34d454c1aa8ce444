"""make doctor: each way in which a machine or a checkout is not ready."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from workspace import commit_all, set_params

from parley.errors import ParleyError
from parley.files import write_json
from tools import doctor, machine
from tools.bundle import write_bundle
from tools.machine import GB, Finding
from tools.preflight import check_disk

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a fresh clone holds for these checks, with the sample data and a commit."""
    place = tmp_path / "a clone"
    place.mkdir()
    shutil.copytree(ROOT / "requirements", place / "requirements")
    shutil.copytree(ROOT / "data/samples/generic", place / "data/samples/generic")
    shutil.copytree(ROOT / ".dvc", place / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    (place / ".venv").mkdir()
    (place / ".venv/ready-cpu").touch()
    set_params(place, ingest__input="data/samples/generic")
    commit_all(place)
    return place


def found(check: Any, root: Path) -> list[Finding]:
    """What doctor finds by one of its checks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor, "CHECKS", (check,))
        return list(doctor.examine(root))


def test_a_fresh_clone_has_no_failure_and_one_warning_for_the_key(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = tuple(check for check in doctor.CHECKS if check not in (machine.memory, machine.disk, machine.port))
    monkeypatch.setattr(doctor, "CHECKS", quiet)  # what other programs of this machine decide
    findings = list(doctor.examine(clone))
    assert [finding for finding in findings if finding.level == "failure"] == []
    assert [finding.says for finding in findings if finding.level == "warning"] == [
        "no GEMINI_API_KEY: judged metrics stay unscored"
    ]
    assert next(finding.says for finding in findings if finding.subject == "data").startswith("data/samples/generic: ")


def test_no_data_is_a_failure_that_says_what_to_put_where(clone: Path) -> None:
    set_params(clone, ingest__input="data/raw")
    (finding,) = found(doctor.data, clone)
    assert finding.level == "failure" and "DiscordChatExporter" in finding.says


def test_files_that_nobody_can_read_as_a_chat_are_told_by_their_shape(clone: Path) -> None:
    (clone / "data/raw").mkdir()
    (clone / "data/raw/pairs.json").write_text('[{"chosen": "a", "rejected": "b"}]')
    set_params(clone, ingest__input="data/raw")
    (finding,) = found(doctor.data, clone)
    assert finding.level == "failure" and "preference pairs" in finding.says


def test_a_wrong_lock_names_what_differs_and_the_remedy(clone: Path) -> None:
    lock = clone / "requirements/cpu.txt"
    text = lock.read_text().replace("dvc==", "dvc==0.", 1)
    lock.write_text(text + "no-such-package==1.0\n")
    (finding,) = found(machine.packages, clone)
    assert finding.level == "failure" and finding.remedy == "rm -f .venv/ready-*; make setup"
    assert "not 0." in finding.says and "no-such-package missing, not 1.0" in finding.says


def test_missing_packages_leave_the_other_checks_at_work(clone: Path) -> None:
    """Without site-packages, as before `make setup`."""
    shutil.copytree(ROOT / "tools", clone / "tools")
    shutil.copytree(ROOT / "parley", clone / "parley")
    (clone / ".venv/ready-cpu").unlink()
    command = [sys.executable, "-S", "-m", "tools.doctor", "--bundle"]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("doctor: no bundle without module ")
    assert "ok      python" in done.stdout and "WARNING data             not checked: no module" in done.stdout
    failure = done.stdout.partition("FAILURE packages")[2].splitlines()[:2]
    assert failure[0].endswith("are not installed yet") and "-> make setup" in failure[1]


@pytest.mark.parametrize(("free", "level"), [(6, "ok"), (2, "warning"), (0.1, "failure")])
def test_a_disk_that_is_full_or_nearly_so(
    clone: Path, monkeypatch: pytest.MonkeyPatch, free: float, level: str
) -> None:
    usage = shutil.disk_usage(clone)._replace(free=int(free * GB))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert found(machine.disk, clone)[0].level == level
    with pytest.raises(ParleyError, match=r"disk: 0\.10 GB free") if level == "failure" else contextlib.nullcontext():
        check_disk(clone)  # of `make repro` and `make exp`


def test_no_right_to_write_and_no_repository(clone: Path) -> None:
    shutil.rmtree(clone / ".git")
    finding, *_ = found(doctor.repository, clone)  # and what git says
    assert finding.level == "failure" and "git repository" in finding.says


def test_a_key_is_seen_and_never_shown(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clone / ".env").write_text("GEMINI_API_KEY=hidden-in-the-file\n")
    monkeypatch.setenv("HF_TOKEN", "hidden-in-the-environment")
    findings = found(doctor.keys, clone)
    assert [finding.level for finding in findings] == ["ok", "ok"]
    assert "hidden" not in str(findings)


def test_a_hub_model_without_cache_or_network(clone: Path) -> None:
    set_params(clone, model__name="nobody/nothing")
    assert [finding.level for finding in found(doctor.base, clone)] == ["warning"]
    code = "import pathlib; from tools.doctor import examine; print(*examine(pathlib.Path(), network=True), sep='\\n')"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), "HF_HOME": str(clone / "cache")}
    done = subprocess.run([sys.executable, "-c", code], cwd=clone, env=environment, capture_output=True, text=True)
    assert "not in the local cache, and the Hub could not be reached" in done.stdout


def test_a_setting_that_is_wrong_is_told_as_before_a_run(clone: Path) -> None:
    set_params(clone, train__epochs="many")
    (finding,) = found(doctor.settings, clone)
    assert finding.level == "failure" and "train.epochs: found 'many'" in finding.says


def test_a_section_without_a_value_ends_no_check(clone: Path) -> None:
    set_params(clone, judge=None)
    (finding,) = found(doctor.keys, clone)
    assert finding.says == "not checked: TypeError in params.yaml"


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_is_taken(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with taken_port() as number:
        monkeypatch.setattr(machine, "PORT", number)
        assert [finding.level for finding in found(machine.port, clone)] == ["warning"]
    assert [finding.level for finding in found(machine.port, clone)] == ["ok"]


def test_the_bundle_holds_no_word_of_the_user_and_no_secret(clone: Path) -> None:
    (clone / ".env").write_text("GEMINI_API_KEY=planted-key\n")
    info = {"chat_template": "planted", "params": {"train": {"start_from": "/home/planted"}, "model": {"threads": 1}}}
    record = {"stage": "train", "peak_memory_mb": 7.0, "finished": "2026"}
    write_json(clone / "metrics/timing/train-0.json", record)
    (clone / "models/trained").mkdir(parents=True)
    (clone / "models/trained/training_info.json").write_text(json.dumps(info | {"base": {"name": "/home/planted"}}))
    set_params(
        clone,
        ingest__input="planted",
        ingest__columns={"planted": "user"},
        convert__target="planted",
        convert__block_words=["planted"],
        convert__system_prompt="planted",
        judge__endpoint="https://user:planted@example.org",
        transforms__set_system__text="planted",
        model__name="TinyLlama/Some-Model",
    )
    secret = Finding("ok", "data", "planted.json: 1 discord")
    text = write_bundle(clone, [secret]).read_text()
    assert "planted" not in text
    bundle = json.loads(text)
    assert bundle["params"]["convert"]["target"] == "<7 characters>"
    assert bundle["params"]["model"]["name"] == "TinyLlama/Some-Model"
    assert bundle["params"]["train"]["epochs"] == 2 and bundle["params"]["ingest"]["format"] == "auto"
    assert bundle["training_info"]["params"]["model"]["threads"] == 1
    assert bundle["doctor"] == [["ok", "data"]] and bundle["versions"]["torch"]
    assert [row["peak_memory_mb"] for row in bundle["memory"]] == [7.0]
