"""Each recipe from raw sample to report, and the judge by `make eval`, on a base model trained for a few steps only."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from judged import by_content
from loopback import JudgeServer
from ruamel.yaml import YAML
from workspace import commit_all, git

from parley.jsonl import rows_of
from parley.recipes import compose, dump
from tools import sessions
from tools.pages import parts

ROOT = Path(__file__).parent.parent
QUICK = {
    ("base", "steps"): 12,
    ("base", "conversations"): 600,
    ("validate", "max_samples"): 120,
    ("train", "epochs"): 1,
    ("validate", "max_cases"): 10,
    ("generate", "max_new_tokens"): 8,
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with this code and samples, in a path with spaces, with a DVC cache of its own."""
    place = tmp_path_factory.mktemp("a fresh") / "clone of parley"
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    for name in files.stdout.splitlines():
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    for lock in (place / "requirements").glob("*.txt"):
        os.utime(lock, (0, 0))  # older than .venv: make installs nothing
    commit_all(place)
    (place / ".git/info/exclude").write_text(".venv\n")
    (place / ".venv").symlink_to(sys.prefix)
    return place


def lay(place: Path, recipe: str) -> None:
    """The recipe's params, shortened so that the run takes seconds."""
    yaml = YAML()
    params = yaml.load(dump(compose(place, recipe, "embedded")))
    for (section, key), value in QUICK.items():
        params[section][key] = value
    with (place / "params.yaml").open("w") as handle:
        yaml.dump(params, handle)


def dvc(place: Path, *arguments: str) -> str:
    return command(place, sys.executable, "-m", "dvc", *arguments)


def command(place: Path, *arguments: str) -> str:
    """What a command printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(arguments, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def stages_run(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def test_every_recipe_reaches_its_report_and_switching_back_runs_nothing(checkout: Path) -> None:
    recipes = sorted(path.stem for path in (ROOT / "recipes").glob("[a-z]*.yaml"))
    first = {}
    for recipe in recipes:
        lay(checkout, recipe)
        assert "report" in stages_run(dvc(checkout, "repro"))
        first[recipe] = (checkout / "metrics" / "report.html").read_bytes()
        assert json.loads((checkout / "metrics" / "judge.json").read_text())["status"] == "not_scored"
        counts_add_up(checkout)
    for recipe in recipes:
        lay(checkout, recipe)
        assert stages_run(dvc(checkout, "repro")) == []
        assert (checkout / "metrics" / "report.html").read_bytes() == first[recipe]


def counts_add_up(place: Path) -> None:
    """Each arrow's out + dropped = in, and every dropped row has its place and reason."""
    for name in ("ingest", "convert", "data", "encode"):
        counts = json.loads((place / "metrics" / f"{name}.json").read_text())
        assert counts["in"] == counts["out"] + sum(counts["dropped"].values()), name
    for path in (place / "data" / "rejects").glob("*.jsonl"):
        for _, row in rows_of(path):
            assert row["code"] and row["reason"] and row["source"].rpartition(":")[2].isdigit()


def test_a_learning_rate_reruns_only_what_depends_on_it(checkout: Path) -> None:
    lay(checkout, "persona")
    dvc(checkout, "repro")
    git(checkout, "commit", "-qam", "t")
    printed = sessions.run(checkout, sessions.RUN)
    ran = stages_run(printed)
    assert sorted(ran) == ["generate@tuned", "judge", "merge", "report", "score", "train"]
    lay(checkout, "persona")
    assert stages_run(dvc(checkout, "repro")) == []
    ran = stages_run(dvc(checkout, "exp", "run", "-n", "strict", "-S", "judge.threshold=0.7"))
    assert sorted(ran) == ["judge", "report"]
    experiments_are_compared_on_one_test_set(checkout)
    tools_print_what_the_page_says(checkout, printed)


def experiments_are_compared_on_one_test_set(place: Path) -> None:
    """low and strict by table and page; a third, with fewer test cases and from a temporary folder, not at all."""
    compare = (sys.executable, "-m", "tools.compare")
    printed = command(place, *compare, "strict", "low").splitlines()
    first, second, *_ = (line for line in printed if line[:2] in ("1 ", "2 "))
    assert first.split()[1] == "strict" and second.split()[1] == "low" and "worse" in second
    assert "low: train.lr=1e-05, judge.threshold=0.5" in printed
    page = (place / "metrics/compare.html").read_text()
    assert "2 runs have looked at this test split" in page and "train.lr=1e-05" in page
    dvc(place, "exp", "run", "--temp", "-n", "fewer", "-S", "validate.max_cases=8")
    refused = subprocess.run([*compare, "strict", "fewer"], cwd=place, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "the test cases differ (strict on" in refused.stderr and "validate.max_cases" in refused.stderr


def tools_print_what_the_page_says(place: Path, first: str) -> None:
    """docs/sessions.md, but for figures and for what depends on how well the model was trained."""
    later = [sessions.session(place, command) for command in sessions.WITH_MODEL]
    page = "\n".join([sessions.block(sessions.RUN, first), *later])
    (place / "recipes/mine_lora_sft.yaml").unlink()
    assert sessions.plain(page) == sessions.plain(parts("sessions.trained")[1])


def test_a_key_that_comes_later_is_used_once_and_shown_nowhere(checkout: Path) -> None:
    key = f"key-{secrets.token_hex(8)}"

    def make_eval() -> str:
        command(checkout, "make", "READY=.venv", "LOCK=cpu", "eval")
        status: str = json.loads((checkout / "metrics" / "judge.json").read_text())["status"]
        return status

    lay(checkout, "persona")
    with JudgeServer(otherwise=by_content) as server:
        params = (checkout / "params.yaml").read_text()
        (checkout / "params.yaml").write_text(params.replace("endpoint: ''", f"endpoint: {server.url}"))
        assert make_eval() == "not_scored"
        assert server.requests == []
        (checkout / ".env").write_text(f"GEMINI_API_KEY={key}\n")
        assert make_eval() == "scored"
        verdicts = [row for _, row in rows_of(checkout / "data" / "eval" / "verdicts.jsonl")]
        assert len(verdicts) == 10 * (2 * 2 + 1) and all(row["status"] == "scored" for row in verdicts)
        asked = len(server.requests)
        assert 0 < asked <= 10 * (2 * 2 + 2) + 10 * (2 * 5 + 8)  # cases, then controls
        dvc(checkout, "repro", "--force", "--single-item", "judge")
        assert make_eval() == "scored"
        assert len(server.requests) == asked
    for path in checkout.rglob("*"):
        if path.is_file() and ".venv" not in path.parts and path.name != ".env":
            assert key.encode() not in path.read_bytes(), path


def test_what_one_clone_pushed_another_pulls_and_runs_nothing(checkout: Path, tmp_path: Path) -> None:
    """docs/share.md: a folder as the remote. Raw text and models/merged are not pushed: they are made anew."""
    lay(checkout, "persona")
    dvc(checkout, "repro")
    dvc(checkout, "remote", "add", "--force", "--default", "store", str(tmp_path / "store"))
    commit_all(checkout)
    dvc(checkout, "push")
    other = tmp_path / "other clone"
    subprocess.run(["git", "clone", "-q", checkout, other], check=True)
    dvc(other, "pull", "--allow-missing")
    assert not (other / "models/merged").exists() and not (other / "data/interim").exists()
    raw = {path.read_bytes() for path in (checkout / "data/interim").iterdir() if path.stat().st_size}
    assert raw and not [path for path in (tmp_path / "store").rglob("*") if path.is_file() and path.read_bytes() in raw]
    assert stages_run(dvc(other, "repro", "--allow-missing")) == []
    report = "metrics/report.html"
    assert (other / report).read_bytes() == (checkout / report).read_bytes()
    assert stages_run(dvc(other, "repro")) == ["ingest", "merge"]
    assert dvc(other, "data", "status") == dvc(checkout, "data", "status")
