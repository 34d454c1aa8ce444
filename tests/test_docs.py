"""README, CONTRIBUTING and `make help` against what is there."""

import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from parley.conversation import Conversation, Turn
from parley.evaluation import Generation
from parley.params import read_yaml
from parley.plugins import plugin, plugin_names

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


SECTIONS = [name for name, value in read_yaml(ROOT / "params.yaml").items() if isinstance(value, dict)]


def code_blocks(text: str, language: str) -> list[str]:
    return [
        body for name, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) if name == language
    ]


PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.*"))]
PAGES = [path for path in PAGES if path.suffix in (".md", ".ipynb")]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_in_the_docs_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^|    |!|\$ |&& )make (?:[A-Z]+=\S+ )?([a-z-]+)", text, re.MULTILINE))
    assert named - {"x"} <= TARGETS  # `make x` is any command
    for module in re.findall(r"python -m ((?:tools|stages|bench)\.\w+)", text):
        assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file(), module
    for script in re.findall(r"python (\w+/\w+\.py)", text):
        assert (ROOT / script).is_file(), script


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_recipe_and_setting_that_the_docs_name_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    values = read_yaml(ROOT / "params.yaml")
    for recipe in re.findall(r"make recipe NAME=(\w+)", text):
        assert recipe == "mine" or (ROOT / f"recipes/{recipe}.yaml").is_file(), recipe
    free = {"train.sft", "train.lora", "ingest.columns"}  # hold other libraries' fields, or the user's columns
    for name in re.findall(rf"`((?:{'|'.join(SECTIONS)})(?:\.[a-z_0-9]+)+)(?:: [^`]*)?`", text):
        place = values
        for depth, part in enumerate(name.split(".")):
            if ".".join(name.split(".")[:depth]) in free:
                break
            assert isinstance(place, dict) and part in place, (page.name, name)
            place = place[part]


def test_every_message_on_the_page_of_troubles_is_one_that_the_code_has() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    sources = [path for folder in ("parley", "stages", "tools") for path in (ROOT / folder).rglob("*.*")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources if path.suffix in (".py", ".sh"))
    joined = re.sub(r'"\s*f?"', "", code)  # sentences over several lines
    messages = re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)
    assert len(messages) > 25
    assert [message for message in messages if message not in joined] == []


def test_python_in_the_page_of_extensions_is_a_plug_in() -> None:
    metric, transform = code_blocks((ROOT / "docs/extend.md").read_text(encoding="utf-8"), "python")
    made: dict[str, Any] = {}
    exec(metric, made)
    assert made["score"](None, Generation("a", "HELLO!", "stop", 3, ())).value == 1
    exec(transform, made)
    turns = (Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"))
    (cut,) = made["apply"](Conversation("x", turns))
    assert cut.turns == turns[:2] and made["apply"](cut) == [cut]


def test_every_kind_of_plug_in_is_on_the_page_of_extensions() -> None:
    page = (ROOT / "docs/extend.md").read_text(encoding="utf-8")
    folders = set(re.findall(r"`parley/(\w+)/NAME", page))
    areas = {path.parent.name for path in (ROOT / "parley").glob("*/__init__.py")}
    own = {path.name for path in (ROOT / "parley").iterdir() if path.is_dir() and path.name[0] != "_"} - areas
    assert folders == own - {"pages", "domains"}


def test_every_page_of_the_docs_can_be_reached_from_the_readme() -> None:
    todo, seen = {"README.md"}, set()
    while todo:
        name = todo.pop()
        seen.add(name)
        place = ROOT / name
        links = re.findall(r"\]\((?!https?://|#)([^)#]+)", place.read_text(encoding="utf-8"))
        found = {(place.parent / link).resolve().relative_to(ROOT).as_posix() for link in links}
        todo |= {link for link in found if link.endswith((".md", ".ipynb"))} - seen
    assert {path.relative_to(ROOT).as_posix() for path in PAGES if path.parent.name == "docs"} <= seen


def test_the_notebook_is_one() -> None:
    cells = json.loads((ROOT / "docs/parley.ipynb").read_bytes())["cells"]
    assert any("Not run" in "".join(cell["source"]) for cell in cells)
    for cell in cells:
        if cell["cell_type"] == "code":
            lines = [re.sub(r"^( *)[!%].*", r"\1pass", line) for line in "".join(cell["source"]).splitlines()]
            compile("\n".join(lines), "cell", "exec")


def test_make_help_lists_every_target_with_its_line() -> None:
    printed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    phony = " ".join(re.findall(r"\.PHONY: (.*)", (ROOT / "Makefile").read_text(encoding="utf-8")))
    assert phony
    for target in set(phony.split()) - {"lint", "exp-show"} | {"lint"}:
        assert re.search(rf"^  make {target} +\S", printed, re.MULTILINE), target


def test_the_tree_in_the_readme_and_the_map_in_contributing_name_each_folder() -> None:
    tree = next(block for block in code_blocks(README, "") if "dvc.yaml" in block)
    named = set(re.findall(r"^(\S+?)/? ", tree, re.MULTILINE))
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {line.split("/")[0] for line in tracked.splitlines() if "/" in line and line[0] != "."}
    assert folders <= named
    areas = {path.name for path in (ROOT / "parley").iterdir() if path.is_dir() and path.name[0] != "_"}
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert areas <= set(re.findall(r"`(\w+)/`", page.split("## Where things are")[1]))


def edges() -> set[tuple[str, str]]:
    """(stage, stage) of the graph, by outputs and deps; generate@base and generate@tuned are two."""
    made, wanted = {}, []
    for name, block in read_yaml(ROOT / "dvc.yaml")["stages"].items():
        for key, item in block["foreach"].items() if "foreach" in block else [("", {})]:
            stage, body = (f"{name}@{key}", block["do"]) if key else (name, block)
            outs = [*body["outs"], *body.get("metrics", []), *body.get("plots", [])]
            for out in outs:
                path = next(iter(out)) if isinstance(out, dict) else out
                made[path.replace("${key}", key)] = stage
            for dep in body["deps"]:
                wanted.append((stage, dep.replace("${item.model}", item.get("model", ""))))
    return {(made[dep], stage) for stage, dep in wanted if dep in made}


def test_the_drawn_graph_is_dvc_yaml() -> None:
    drawn = set()
    for line in code_blocks(README, "mermaid")[0].splitlines():
        names = [name.strip() for name in line.split("-->")]
        for sources, targets in itertools.pairwise(names):
            drawn |= {(a.strip(), b.strip()) for a in sources.split("&") for b in targets.split("&")}
    # The report reads every stage's metrics: drawn once, from the last two.
    assert drawn == {(a, b) for a, b in edges() if b != "report"} | {("score", "report"), ("judge", "report")}


def test_every_relative_link_leads_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page.name, target)


def test_every_dependency_asked_for_has_its_reason() -> None:
    asked = re.findall(r"^([a-z0-9._-]+)", (ROOT / "requirements" / "cpu.in").read_text(), re.MULTILINE)
    reasons = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Dependencies")[1]
    assert [name for name in asked if name not in reasons and not name.startswith(("pytest-", "types-"))] == []


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_every_dependency_is_locked_without_a_local_label(name: str) -> None:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    locked = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9._-]+==[^+]+", line) for line in locked)
    assert "torch==2.13.0" in locked


def test_the_page_of_formats_names_each_one() -> None:
    page = (ROOT / "docs/formats.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(\w+)`", page, re.MULTILINE)) == plugin_names("formats")


def test_the_page_of_the_judge_names_each_client_and_metric() -> None:
    page = (ROOT / "docs/judge.md").read_text(encoding="utf-8")
    named = sorted(re.findall(r"^\| `(\w+)`", page, re.MULTILINE))
    assert named == sorted(plugin_names("judges") + plugin_names("rubrics", ".yaml"))


def test_the_page_of_metrics_names_each_one() -> None:
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8").split("## Field by field")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == plugin_names("metrics")


def test_every_environment_variable_that_the_code_reads_is_on_the_page_of_privacy() -> None:
    listed = set(re.findall(r"`([A-Z][A-Z_0-9]+)`", (ROOT / "docs/privacy.md").read_text(encoding="utf-8")))
    sources = [path for folder in ("parley", "stages", "tools") for path in (ROOT / folder).rglob("*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    read = set(re.findall(r'environ(?:\.get|\.setdefault|\.pop)?[\[(]"(\w+)"', code))
    read |= set(re.findall(r'"(\w+)" in os\.environ', code)) | set(re.findall(r'getenv\("(\w+)"', code))
    for client in plugin_names("judges"):
        read |= set(plugin("judges", client, key="judge.client").KEYS)
    assert {"DVC_ROOT", "PARLEY_DEBUG", "GEMINI_API_KEY"} <= read <= listed
