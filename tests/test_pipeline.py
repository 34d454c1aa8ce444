"""The graph against the code: DVC's worst failure is a stale output that says "up to date"."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from parley.params import read_yaml
from tools.preflight import TOP_LEVEL, sections, sections_read

ROOT = Path(__file__).parent.parent
STAGES = sorted(path.stem for path in (ROOT / "stages").glob("[a-z]*.py"))
# A folder of plug-ins is a dep as a whole; of an area's package each module is one.
PLUGIN_FOLDERS = (
    {path.name for path in (ROOT / "parley").iterdir() if path.is_dir()}
    - {"__pycache__"}
    - {path.parent.name for path in (ROOT / "parley").glob("*/__init__.py") if path.parent.name != "embedded"}
)


def graph() -> dict[str, dict]:
    """Stage -> its block in dvc.yaml, foreach unfolded."""
    blocks = read_yaml(ROOT / "dvc.yaml")["stages"]
    return {name: block.get("do", block) for name, block in blocks.items()}


def imported(path: Path) -> set[str]:
    """Paths (relative, posix) of the project's own modules that a file imports anywhere in it, functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("plugin", "plugin_file", "plugin_names"):
            names = [f"parley.{node.args[0].value}"] if isinstance(node.args[0], ast.Constant) else []
        for name in names:
            place = ROOT / name.replace(".", "/")
            if name.startswith(("parley.", "stages.")) and place.with_suffix(".py").is_file():
                found.add(place.with_suffix(".py").relative_to(ROOT).as_posix())
            elif place.parent == ROOT / "parley" and place.name in PLUGIN_FOLDERS:
                found.add(place.relative_to(ROOT).as_posix())
    return found


def needed(stage: str) -> set[str]:
    """Everything of parley that a stage imports, directly or not; a plug-in's folder stands for its files."""
    todo, seen = imported(ROOT / "stages" / f"{stage}.py"), set()
    while todo:
        path = todo.pop()
        folder = path.split("/")[1]
        if folder in PLUGIN_FOLDERS:
            path = f"parley/{folder}"
        if path in seen:
            continue
        seen.add(path)
        place = ROOT / path
        for file in [place] if place.is_file() else sorted(place.rglob("*.py")):
            todo |= imported(file)
    return seen


@pytest.mark.parametrize("stage", STAGES)
def test_every_imported_module_is_a_dep_of_its_stage(stage: str) -> None:
    deps = {dep for dep in graph()[stage]["deps"] if dep.startswith(("parley/", "stages/"))}
    assert deps == needed(stage) | {f"stages/{stage}.py"}


@pytest.mark.parametrize("stage", STAGES)
def test_params_listed_are_the_sections_read(stage: str) -> None:
    source = ROOT / "stages" / f"{stage}.py"
    read = {section for section, _ in sections_read(source)}
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "read_value":
            read.add(node.args[1].value)
    if stage == "report":  # shows every setting, so it reads the whole file
        read = set(read_yaml(ROOT / "params.yaml"))
    assert set(graph()[stage]["params"]) == read - {"runtime"}


def test_a_stage_is_a_script_of_the_same_name() -> None:
    assert sorted(graph()) == STAGES
    for name, block in graph().items():
        assert block["cmd"].split()[:3] == ["python", "-m", f"stages.{name}"]
        assert block["desc"]


def test_stages_import_no_other_stage_and_parley_imports_no_stage() -> None:
    for path in [*(ROOT / "stages").glob("*.py"), *(ROOT / "parley").rglob("*.py")]:
        assert not [name for name in imported(path) if name.startswith("stages/")], path


def test_the_package_of_an_area_holds_one_sentence_and_no_code() -> None:
    """Only then need it be no dep of a stage that imports a module of it."""
    for path in (ROOT / "parley").glob("*/__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert path.parent.name == "embedded" or [type(node) for node in body] == [ast.Expr], path


def test_plugins_import_no_other_plugin() -> None:
    for folder in ("formats", "transforms", "cases", "metrics", "judges", "scorecards"):
        for path in (ROOT / "parley" / folder).glob("*.py"):
            assert not [name for name in imported(path) if name.startswith(f"parley/{folder}/")], path


def test_parley_knows_no_params_file_but_in_its_reader() -> None:
    readers = [
        path
        for path in [*(ROOT / "parley").rglob("*.py"), *(ROOT / "stages").glob("*.py")]
        if re.search(r"yaml\.safe_load|import yaml\b", path.read_text(encoding="utf-8"))
    ]
    assert readers == []


@pytest.mark.parametrize("stage", ["ingest", "convert", "validate", "score", "report"])
def test_data_stages_never_import_torch(stage: str) -> None:
    code = f"import sys, stages.{stage}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_uncached_outputs_are_metrics_or_plots_only() -> None:
    """`cache: false` under outs, `persist` and `always_changed` each switch DVC's run cache off."""
    for name, block in graph().items():
        assert "always_changed" not in block, name
        for out in block["outs"]:
            options = next(iter(out.values())) if isinstance(out, dict) else {}
            assert not {"cache", "persist"} & options.keys(), (name, out)


def test_every_cached_output_is_ignored_by_git() -> None:
    paths = []
    for block in graph().values():
        for out in block["outs"]:
            path = next(iter(out)) if isinstance(out, dict) else out
            paths.append(path.replace("${key}", "tuned"))
    found = subprocess.run(["git", "check-ignore", "--no-index", *paths], cwd=ROOT, capture_output=True, text=True)
    assert found.stdout.split() == paths


def test_every_section_is_typed_and_every_typed_section_is_there() -> None:
    assert set(read_yaml(ROOT / "params.yaml")) == set(sections()) | set(TOP_LEVEL)


def test_every_key_of_params_has_a_comment_above_it() -> None:
    lines = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
    keys = [number for number, line in enumerate(lines) if re.match(r" *\w+:", line)]
    assert [lines[number] for number in keys if not lines[number - 1].lstrip().startswith("#")] == []


def test_a_rate_in_scientific_notation_is_a_number(tmp_path: Path) -> None:
    """What `dvc exp run -S train.lr=1e-5` writes; YAML 1.1 readers take it for a string."""
    (tmp_path / "params.yaml").write_text("train:\n  lr: 1e-05\n")
    assert read_yaml(tmp_path / "params.yaml")["train"]["lr"] == 1e-5
