"""Judged metrics: one YAML file each in parley/rubrics, of one of two kinds.

A rubric of our own, which GEval applies in one call:    A metric of DeepEval's own:

compares: [input, actual_output]                         metric: ToxicityMetric
steps: [Read Input, …]                                   shows: answer
scale: {0-1: Empty or unreadable., …, 10: …}             calls: 2
                                                         nothing_found: good
"""

import re
from typing import Literal

from pydantic import Field, ValidationError

from parley.errors import ParleyError
from parley.params import Section, read_yaml
from parley.plugins import plugin_file

Shows = Literal[
    "answer",  # the conversation so far and the answer
    "context",  # ... and what it must agree with: label `context`, or what tools returned
    "turns",  # the conversation that the answer ends, as turns
    "role",  # ... and the system prompt
    "tools",  # the conversation so far, the answer's tool calls and the reference's
]


class Rubric(Section):
    """A rubric of our own, in parley/rubrics."""

    # What the judge is shown: the conversation so far, the generation, the reference.
    compares: list[Literal["input", "actual_output", "expected_output"]] = Field(min_length=1)
    steps: list[str] = Field(min_length=1)  # fixed: steps that a judge makes up differ from case to case
    scale: dict[int | str, str]  # a score (10) or a range ("2-3") -> what such an answer is like

    def anchors(self) -> list[tuple[int, int, str]]:
        """(from, to, what such an answer is like) for each line of the scale; [] for what is no range."""
        found = [(re.fullmatch(r"(\d+)(?:-(\d+))?", str(scores)), like) for scores, like in self.scale.items()]
        return [(int(ends[1]), int(ends[2] or ends[1]), like) for ends, like in found if ends]


class Measure(Section):
    """One of DeepEval's own metrics, in parley/rubrics."""

    metric: str = Field(pattern=r"^[A-Z]\w+Metric$")  # a class of deepeval.metrics
    shows: Shows
    calls: int = Field(ge=0)  # for one answer, about where the judge decides
    calls_a_turn: int = Field(default=0, ge=0)  # further ones for each earlier answer
    # Its score is 1 where the judge finds nothing to count: right for insults, a made-up number for relevancy.
    nothing_found: Literal["good", "unscored"]


def read_judged(name: str) -> Rubric | Measure:
    """The judged metric of this name; the scale of a rubric covers 0 to 10, each score once."""
    path = plugin_file("rubrics", name, ".yaml", key="judge.metrics")
    values = read_yaml(path)
    try:
        if "metric" in values:
            return Measure.model_validate(values)
        rubric = Rubric.model_validate(values)
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(str(part) for part in detail["loc"])
        raise ParleyError(f"{path}: {place}: {detail['msg']}") from None
    covered = [score for low, high, _ in rubric.anchors() for score in range(low, high + 1)]
    if covered != list(range(11)):
        raise ParleyError(f"{path}: scale covers the scores {covered}; expected 0 to 10, each once and in order")
    return rubric


def read_rubrics(names: list[str]) -> dict[str, Rubric]:
    """The rubrics of our own among the judged metrics, whose scale a person or a planted answer can be put on."""
    found = {name: read_judged(name) for name in names}
    return {name: rubric for name, rubric in found.items() if isinstance(rubric, Rubric)}
