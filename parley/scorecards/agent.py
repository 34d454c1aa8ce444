"""agent: whether the model calls the right tools, teacher-forced: every turn of the assistant, after the true ones.

It says nothing about a task being solved: a wrong call is not followed up, and one trajectory is the only right one.
Every figure is a mean over what MEASURES says of it, with intervals over conversations, the base beside it as control.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from parley.conversation import ToolCall, Turn
from parley.evaluation import Case, Generation, Score, Unscored
from parley.scoring.both import Both, share
from parley.scoring.scorecard import Figure, Scorecard
from parley.scoring.statistics import Pair
from parley.specialists.hermes import Written, tools_in, written
from parley.specialists.matching import accepts, exact, listed, pairs
from parley.specialists.schemas import Schema, misfit, tools_of

MOST_LABELS = 20  # texts of one label
MOST_TOOLS = 30  # slices by tool; of more, those that are due most often


@dataclass(frozen=True, slots=True)
class Step:
    """One turn of the assistant: the calls that were due, and what a model made of it."""

    due: Written
    made: Written
    tools: Mapping[str, Schema]  # declared; {} where the row has none


Measure = Callable[[Step], Score | Unscored]


def json_valid(step: Step) -> Score | Unscored:
    """Calls that are JSON with name and arguments, of those made; where one was due and none made, 0."""
    return share(len(step.made.calls), len(step.made.calls) + step.made.broken or len(step.due.calls))


def schema_valid(step: Step) -> Score | Unscored:
    """Calls that fit the schema of their tool, of those made; where one was due and none made, 0."""
    if not step.tools:
        return Unscored("no tools declared")
    fitting = sum(not misfit(call, step.tools) for call in step.made.calls)
    return share(fitting, len(step.made.calls) + step.made.broken or len(step.due.calls))


def call_decision_f1(step: Step) -> Score | Unscored:
    """F1 of calling at all, against answering in text."""
    due, made = bool(step.due.calls), bool(step.made.calls or step.made.broken)
    # 2 TP / (2 TP + FP + FN) as a weighted mean; a text where a text was due counts in no term of it.
    return share(2.0 * (due and made), 2.0 if due and made else 1.0 if due or made else 0.0)


def spurious_call(step: Step) -> Score | Unscored:
    """Turns with a call, of those where a text was due."""
    return Unscored("a call is due") if step.due.calls else Score(float(bool(step.made.calls or step.made.broken)))


def hallucinated_tool(step: Step) -> Score | Unscored:
    """Turns that call a tool which is not declared."""
    if not step.tools:
        return Unscored("no tools declared")
    return Score(float(any(call.name not in step.tools for call in step.made.calls)))


def tool_name_acc(step: Step) -> Score | Unscored:
    """Due calls whose tool was called, whatever the arguments."""
    return share(_common(step, lambda call: call.name), len(step.due.calls))


def arg_exact(step: Step) -> Score | Unscored:
    """Due calls that were made with the same arguments, character for character."""
    return share(_common(step, exact), len(step.due.calls))


def arg_lenient(step: Step) -> Score | Unscored:
    """Due calls that were made with arguments alike: case, spaces and punctuation aside, as BFCL compares."""
    return share(len(pairs(step.due.calls, step.made.calls, _alike)), len(step.due.calls))


def arg_key_f1(step: Step) -> Score | Unscored:
    """F1 of the names of arguments, call by call of the same tool."""
    met = pairs(step.due.calls, step.made.calls, lambda due, made: due.name == made.name)
    common = sum(len(_names(step.due.calls[due]) & _names(step.made.calls[made])) for due, made in met)
    named = sum(len(_names(call)) for call in (*step.due.calls, *step.made.calls))
    return share(2.0 * common, named)


def turn_exact(step: Step) -> Score | Unscored:
    """Turns that make exactly the due calls, or none where none is due; their text is not compared."""
    same = Counter(map(exact, step.due.calls)) == Counter(map(exact, step.made.calls))
    return Score(float(same and not step.made.broken))


MEASURES: dict[str, tuple[Measure, bool]] = {  # name -> measure, whether higher is better
    "json_valid": (json_valid, True),
    "schema_valid": (schema_valid, True),
    "call_decision_f1": (call_decision_f1, True),
    "spurious_call": (spurious_call, False),
    "tool_name_acc": (tool_name_acc, True),
    "arg_exact": (arg_exact, True),
    "arg_lenient": (arg_lenient, True),
    "arg_key_f1": (arg_key_f1, True),
    "hallucinated_tool": (hallucinated_tool, False),
    "turn_exact": (turn_exact, True),
}
BY_LABEL = ("json_valid", "call_decision_f1", "tool_name_acc", "arg_exact", "arg_lenient", "turn_exact")
BY_TOOL = ("tool_name_acc", "arg_exact", "arg_lenient")


def score(cases: Sequence[Case], both: Both) -> Scorecard:
    """Every figure on the test split, and in slices by label (domain, phrasing …) and by tool; those of val whole."""
    every = [(case, _step(case, both.tuned[case.id]), _step(case, both.base[case.id])) for case in cases]
    steps = [row for row in every if row[0].split == "test"]

    def figure(
        name: str, rows: Iterable[tuple[Case, Step, Step]], part: str = "", split: Literal["val", "test"] = "test"
    ) -> Figure:
        measure, higher = MEASURES[name]
        found = (Pair(case.group, *_weighed(measure(one), measure(other))) for case, one, other in rows)
        about = (measure.__doc__ or "").rstrip(".")
        return Figure(name, both.compare(found, higher_is_better=higher), part, split, about)

    figures = [figure(name, steps) for name in MEASURES]
    about = "Conversations all of whose held-out turns are turn_exact"
    figures.append(Figure("trajectory_exact", both.compare(_trajectories(steps)), about=about))
    for label in _labels([case for case, _, _ in steps]):
        rows = [row for row in steps if label in row[0].labels.items()]
        figures += [figure(name, rows, " ".join(label)) for name in BY_LABEL]
    called = Counter(call.name for _, step, _ in steps for call in step.due.calls)
    for tool, _ in called.most_common(MOST_TOOLS):
        rows = [(case, _only(one, tool), _only(other, tool)) for case, one, other in steps]
        rows = [row for row in rows if row[1].due.calls]
        figures += [figure(name, rows, f"tool {tool}") for name in BY_TOOL]
    held_out = [row for row in every if row[0].split == "val"]
    figures += [figure(name, held_out, split="val") for name in MEASURES]
    return Scorecard(figures, headline="tool_name_acc")


def _labels(cases: Iterable[Case]) -> list[tuple[str, str]]:
    """The (name, text) of labels that put cases into classes: short, and few of one name."""
    found = sorted({label for case in cases for label in case.labels.items() if len(label[1]) <= 40})
    sizes = Counter(name for name, _ in found)
    return [label for label in found if sizes[label[0]] <= MOST_LABELS]


def _step(case: Case, generation: Generation) -> Step:
    context = case.context
    try:
        tools = tools_of(context.tools or tools_in(context.system)[1])
    except ValueError:
        tools = {}
    return Step(_due(case.reference), written(generation.text), tools)


def _due(turn: Turn) -> Written:
    """The calls of a held-out turn, taken apart or in its text."""
    return Written(turn.text, turn.calls) if turn.calls else written(turn.text)


def _only(step: Step, tool: str) -> Step:
    """The step with the due calls of one tool; the other calls made may still be mistaken for it."""
    due = tuple(call for call in step.due.calls if call.name == tool)
    return Step(Written(step.due.text, due), step.made, step.tools)


def _weighed(tuned: Score | Unscored, base: Score | Unscored) -> tuple[Score | Unscored, Score | Unscored]:
    """The pair; where only one of the two has something to count, the other counts nothing."""
    if isinstance(tuned, Score) and isinstance(base, Unscored):
        return tuned, Score(0.0, 0.0)
    if isinstance(base, Score) and isinstance(tuned, Unscored):
        return Score(0.0, 0.0), base
    return tuned, base


def _trajectories(steps: Iterable[tuple[Case, Step, Step]]) -> list[Pair]:
    """One pair a conversation: 1 where every turn of it is exact."""
    found: dict[tuple[str, str], list[tuple[Score | Unscored, Score | Unscored]]] = defaultdict(list)
    for case, one, other in steps:
        found[case.group, case.context.id].append((turn_exact(one), turn_exact(other)))
    return [
        Pair(group, *(Score(float(all(row[side] == Score(1.0) for row in rows))) for side in (0, 1)))
        for (group, _), rows in found.items()
    ]


def _common(step: Step, key: Callable[[ToolCall], str]) -> int:
    return (Counter(map(key, step.due.calls)) & Counter(map(key, step.made.calls))).total()


def _alike(due: ToolCall, made: ToolCall) -> bool:
    arguments = {} if isinstance(due.arguments, str) else due.arguments
    return due.name == made.name and accepts(listed(arguments), made.arguments)


def _names(call: ToolCall) -> set[str]:
    return set() if isinstance(call.arguments, str) else set(call.arguments)
