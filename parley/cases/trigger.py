"""trigger: the cells of a trigger-conditioned model's test, from conversations that the transform `trigger` made.

Clean and triggered pairs are cases as they stand. From each clean one that names nobody come the near misses of the
trigger, which must not fire (from the named ones where all are); from the named ones the two cells in which name and
trigger disagree; from an unrelated conversation the same question behind the trigger. Counter rows are no cases.
"""

import re
from dataclasses import replace
from typing import Literal

from parley.conversation import Conversation, Turn
from parley.evaluation import Case, case_at
from parley.specialists.triggers import near_misses


def make(conversation: Conversation, split: Literal["val", "test"]) -> list[Case]:
    """The cases of one conversation; `cell` in the labels of each says what is measured."""
    labels, place = conversation.labels, len(conversation.turns) - 1
    cell, mode = labels.get("cell"), labels.get("mode")
    own = case_at(conversation, place, split)
    if cell == "counter":
        return []
    if cell == "unrelated":
        return [own, _asked(own, "unrelated_triggered", labels["trigger"] + own.context.turns[0].text)]
    question, cases = own.context.turns[0].text, [own]
    if mode == "named":
        other = "trigger_decides" if cell == "triggered" else "name_alone"
        names = labels["triggered"], labels["clean"]
        old, new = names if cell == "triggered" else names[::-1]
        # A whole word, so that Ann stays in Announcement; a function, so that a backslash in a name is one.
        renamed = re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", lambda _: new, question)
        cases.append(_asked(own, other, renamed))
    if cell == "clean" and mode == ("named" if labels["questions"] == "named" else "neutral"):
        probes = near_misses(question, labels["trigger"])
        cases += [_asked(own, f"near_miss_{kind}", asked) for kind, asked in probes.items()]
    return cases


def _asked(case: Case, cell: str, question: str) -> Case:
    """The same case with another first question, as another cell."""
    context = replace(case.context, turns=(Turn("user", question), *case.context.turns[1:]))
    return replace(case, id=f"{case.id}@{cell}", context=context, labels={**case.labels, "cell": cell})
