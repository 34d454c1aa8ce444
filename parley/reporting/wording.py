"""How figures are said to people: numbers, intervals, and whether the tuned model is better.

For the report, the summary on the terminal and the comparison of experiments, so that they agree. An
entry is one metric's in metrics/scores.json or judge.json (parley/scoring/statistics.py).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Entry = Mapping[str, Any]

Verdict = Literal[
    "better",  # the interval of the difference excludes 0, in the metric's good direction
    "worse",  # ... in its bad direction
    "different",  # ... and the metric has no good direction
    "no difference shown",  # the interval holds 0: not the same as "equal"
    "no interval",  # too few conversations to say
    "not scored",
]


@dataclass(frozen=True, slots=True)
class Headline:
    """The answer that a person wants first."""

    verdict: Verdict
    title: str
    sentence: str


def number(value: float) -> str:
    """Three significant digits, thousands set apart, a real minus sign: 1,678 or 0.0123 or −2.50."""
    if isinstance(value, int) or value == 0 or abs(value) >= 999.5:
        text = f"{value:,.0f}"
    elif abs(value) >= 0.001:
        text = f"{value:#.3g}".rstrip(".")
    else:
        text = f"{value:.2e}"
    return text.replace("-", "−")


def interval(estimate: Mapping[str, float | None]) -> str:
    """The interval as "[low, high]", or "no interval"."""
    low, high = estimate["low"], estimate["high"]
    return "no interval" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def ordered(entries: Mapping[str, Entry], names: Sequence[str]) -> dict[str, Entry]:
    """The entries in the order in which params.yaml names them; JSON keeps its keys sorted."""
    return {name: entries[name] for name in [*names, *sorted(entries.keys() - set(names))] if name in entries}


def verdict(entry: Entry) -> Verdict:
    """What the interval of the difference allows to say, and no more."""
    if "not_scored" in entry:
        return "not scored"
    low, high = entry["difference"]["low"], entry["difference"]["high"]
    if low is None or high is None:
        return "no interval"
    if low <= 0 <= high:
        return "no difference shown"
    if entry["higher_is_better"] is None:
        return "different"
    return "better" if (low > 0) == entry["higher_is_better"] else "worse"


def surety(entry: Entry) -> str:
    """How easily chance makes such a difference, and which one this many conversations would have shown; or ""."""
    words = []
    if entry.get("p") is not None:
        several = entry.get("tests", 1) > 1
        words.append(f"p {chance(entry['p'])}" + (f", Holm {chance(entry['p_holm'])}" if several else ""))
    if entry.get("detectable") is not None:
        words.append(f"detectable {number(entry['detectable'])}")
    return "; ".join(words)


def chance(p: float) -> str:
    """A p value, in two digits that count; below what 1,000 resamples could tell, no more than that."""
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


TITLES: dict[str, str] = {
    "better": "Better than its base",
    "worse": "Worse than its base",
    "no difference shown": "No difference from its base shown",
}


def headline(test: Mapping[str, Entry], recipe: Mapping[str, Any]) -> Headline:
    """Whether tuning helped, on the test split: by how much, how sure, on how many cases.

    By the figure that the recipe's scorecard names (`recipe` block of metrics/scores.json), else by perplexity.
    """
    if name := recipe.get("headline"):
        return _by_figure(name, recipe["test"][name]["all"])
    entry = test.get("perplexity")
    if entry is None:
        why = "perplexity is not among score.metrics"
        return Headline("not scored", "Not known whether it is better", f"Not scored: {why}.")
    found = verdict(entry)
    if found == "not scored":
        return Headline(found, "Not known whether it is better", f"Perplexity is not scored: {entry['not_scored']}.")
    tuned, base, gap = entry["shown"]["tuned"], entry["shown"]["base"], entry["difference"]
    counted = f"{number(entry['n'])} test cases from {number(entry['groups'])} conversation groups"
    sentence = (
        f"On what people really wrote, the tuned model has a perplexity of {number(tuned['value'])}, its base of "
        f"{number(base['value'])}: {_change(gap['value'])}"
    )
    if found == "no interval":
        return Headline(found, "Not known whether it is better", f"{sentence}, on {counted}; {entry['no_interval']}.")
    one, other = (_change(gap[end]) for end in (("high", "low") if gap["high"] < 0 else ("low", "high")))
    (value, _, kind), (_, _, same) = one.partition(" "), other.partition(" ")  # kind: "% lower", said once if it can be
    ends = f"{value if kind == same else one} to {other}"
    return Headline(found, TITLES[found], f"{sentence} (95 % interval: {ends}), on {counted}.")


def _by_figure(name: str, entry: Entry) -> Headline:
    found = verdict(entry)
    if found == "not scored":
        return Headline(found, "Not known whether it is better", f"{name} is not scored: {entry['not_scored']}.")
    tuned, base, gap = (entry[part] for part in ("tuned", "base", "difference"))
    sentence = (
        f"{name} of the tuned model is {number(tuned['value'])}, of its base {number(base['value'])}; difference "
        f"{number(gap['value'])} {interval(gap)}, on {number(entry['n'])} test cases from "
        f"{number(entry['groups'])} conversation groups."
    )
    return Headline(found, TITLES.get(found, "Not known whether it is better"), sentence)


def _change(nats: float) -> str:
    """A difference in nats a token as a change of perplexity: exp of it is the ratio of the two."""
    if nats == 0:
        return "the same"
    ratio, word = math.exp(abs(nats)), "lower" if nats < 0 else "higher"
    if ratio >= 2:
        return f"{number(ratio)} times {word}"
    share = 1 - 1 / ratio if nats < 0 else ratio - 1
    return f"{number(100 * share)} % {word}"
