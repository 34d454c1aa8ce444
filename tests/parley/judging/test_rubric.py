"""Rubric files: steps are fixed, and a scale has a place for every score."""

from collections.abc import Callable
from pathlib import Path

import pytest

from parley import plugins
from parley.errors import ParleyError
from parley.judging.rubric import Measure, Rubric, read_judged, read_rubrics
from parley.plugins import plugin_names

GOOD = "compares: [input]\nsteps: [Read it.]\nscale:\n  0-4: bad\n  5-9: fair\n  10: good\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Writes parley/rubrics/mine.yaml of a parley of its own."""
    (tmp_path / "rubrics").mkdir()
    monkeypatch.setattr(plugins, "_HERE", tmp_path)
    return lambda text: (tmp_path / "rubrics/mine.yaml").write_text(text, encoding="utf-8")


RUBRICS = plugin_names("rubrics", ".yaml")


def test_every_shipped_file_is_a_rubric_or_one_of_deepevals_metrics() -> None:
    kinds = {type(read_judged(name)) for name in RUBRICS}
    assert kinds == {Rubric, Measure}
    assert "toxicity" not in read_rubrics(RUBRICS)


@pytest.mark.parametrize("name", list(read_rubrics(RUBRICS)))
def test_every_shipped_rubric_reads(name: str) -> None:
    rubric = read_rubrics([name])[name]
    assert rubric.anchors()[0][0] == 0
    assert len(rubric.steps) >= 3


def test_a_new_rubric_is_one_file(write: Callable[[str], object]) -> None:
    write(GOOD)
    assert read_rubrics(["mine"])["mine"].anchors() == [(0, 4, "bad"), (5, 9, "fair"), (10, 10, "good")]


@pytest.mark.parametrize(
    ("was", "now", "message"),
    [
        ("5-9", "6-9", "scale covers"),
        ("5-9", "4-9", "scale covers"),
        ("5-9", "five", "scale covers"),
        ("  10: good\n", "", "scale covers"),
        ("[input]", "[output]", "compares"),
        ("steps: [Read it.]\n", "", "steps"),
        ("scale:", "scales:", "scale"),
    ],
)
def test_a_rubric_that_cannot_be_used_is_refused_by_name(
    write: Callable[[str], object], was: str, now: str, message: str
) -> None:
    write(GOOD.replace(was, now))
    with pytest.raises(ParleyError, match=rf"mine\.yaml.*{message}"):
        read_judged("mine")
