"""Rubrics: what a judge goes by, one YAML file each in parley/rubrics, named as the metric it makes.

compares: [input, actual_output]
steps: [Read Input, …]
scale: {0-1: Empty or unreadable., …, 10: …}
"""

import re
from typing import Literal

from pydantic import Field, ValidationError

from parley.errors import ParleyError
from parley.params import Section, read_yaml
from parley.plugins import plugin_file


class Rubric(Section):
    """A file of parley/rubrics."""

    # What the judge is shown: the conversation so far, the generation, the reference.
    compares: list[Literal["input", "actual_output", "expected_output"]] = Field(min_length=1)
    steps: list[str] = Field(min_length=1)  # fixed: steps that a judge makes up differ from case to case
    scale: dict[int | str, str]  # a score (10) or a range ("2-3") -> what such an answer is like

    def anchors(self) -> list[tuple[int, int, str]]:
        """(from, to, what such an answer is like) for each line of the scale; [] for what is no range."""
        found = [(re.fullmatch(r"(\d+)(?:-(\d+))?", str(scores)), like) for scores, like in self.scale.items()]
        return [(int(ends[1]), int(ends[2] or ends[1]), like) for ends, like in found if ends]


def read_rubric(name: str) -> Rubric:
    """The rubric of a judged metric; its scale covers 0 to 10, each score once."""
    path = plugin_file("rubrics", name, ".yaml", key="judge.metrics")
    try:
        rubric = Rubric.model_validate(read_yaml(path))
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(str(part) for part in detail["loc"])
        raise ParleyError(f"{path}: {place}: {detail['msg']}") from None
    covered = [score for low, high, _ in rubric.anchors() for score in range(low, high + 1)]
    if covered != list(range(11)):
        raise ParleyError(f"{path}: scale covers the scores {covered}; expected 0 to 10, each once and in order")
    return rubric
