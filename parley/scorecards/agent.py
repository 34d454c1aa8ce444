"""agent: whether the model calls the right tools, teacher-forced: every turn of the assistant, after the true ones.

json_valid   calls that parse, of those made; where one was due and none came, the due ones count as not valid
tool_name_acc  due calls whose tool was called, whatever the arguments
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from parley.conversation import Turn
from parley.evaluation import Case, Generation, Score, Unscored
from parley.hermes import Written, written
from parley.scorecard import Figure, Scorecard, share
from parley.statistics import Pair, compare

Measure = Callable[[Written, Written], Score | Unscored]  # (due, made) -> score


def score(
    cases: Sequence[Case],
    tuned: Mapping[str, Generation],
    base: Mapping[str, Generation],
    *,
    resamples: int,
    seed: int,
) -> Scorecard:
    """Every figure on the test split, with intervals over conversations."""
    due = {case.id: of_turn(case.reference) for case in cases if case.split == "test"}
    made = {model: {name: written(rows[name].text) for name in due} for model, rows in (("t", tuned), ("b", base))}
    groups = {case.id: case.context.group or case.context.id for case in cases}
    figures = []
    for name, measure in MEASURES.items():
        pairs = [Pair(groups[id], measure(due[id], made["t"][id]), measure(due[id], made["b"][id])) for id in due]
        entry = compare(pairs, unit="rate", higher_is_better=True, resamples=resamples, seed=seed)
        figures.append(Figure(name, entry))
    return Scorecard(figures)


def of_turn(turn: Turn) -> Written:
    """What a held-out turn says and calls, its calls taken apart or in its text."""
    return Written(turn.text, turn.calls, 0) if turn.calls else written(turn.text)


def json_valid(due: Written, made: Written) -> Score | Unscored:
    return share(len(made.calls), len(made.calls) + made.broken or len(due.calls))


def tool_name_acc(due: Written, made: Written) -> Score | Unscored:
    common = Counter(call.name for call in due.calls) & Counter(call.name for call in made.calls)
    return share(common.total(), len(due.calls))


MEASURES: dict[str, Measure] = {"json_valid": json_valid, "tool_name_acc": tool_name_acc}
