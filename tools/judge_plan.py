"""make judge-plan: what judging would take now, before anything is sent: calls, tokens and money. Needs no key.

Calls are counted exactly, without those whose answers are kept; for DeepEval's own metrics of several calls as many as
they take as a rule. Tokens of prompts are estimated as characters / 4;
those of replies, thinking included, as the mean of the answers kept from this model (or 150 while there are few).
"""

import sys
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from rich.console import Console

from parley.errors import ParleyError
from parley.judging.asking import Asker
from parley.judging.clients import NoJudge, open_judge
from parley.judging.questions import Plan, calls_of, plan
from parley.params import Section, read_section, read_yaml
from stages.judge import Docket, Settings, read_docket
from tools import table, told

PRICES = Path(__file__).parent / "prices.yaml"
FEW = 20  # kept answers below which the length of a reply is assumed
ASSUMED = 150  # tokens of a reply


class Price(Section):
    """What a model costs, in US dollars a million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class Prices(Section):
    """A table of prices."""

    date: str
    models: dict[str, Price]


def judge_plan(root: Path, prices: Path, console: Console) -> None:
    """Prints the plan; raises ParleyError where the test cases or their answers are missing."""
    params = read_section(root, "judge", Settings)
    try:
        asker = open_judge(root, params, key_needed=False)
    except NoJudge as nobody:
        raise ParleyError(f"params.yaml: {nobody}: there is nothing to plan") from None
    docket = read_docket(root, params, asker)
    found = plan(docket.questions)
    shown = table(("asked for", "verdicts", "kept", "calls"), left=("asked for",))
    seen: set[str] = set()
    for name, places in kinds(docket, params):
        new = [call for place in places if (call := found.missing.get(place)) and call.key not in seen]
        seen |= {call.key for call in new}
        kept = sum(place in found.kept for place in places)
        shown.add_row(name, f"{len(places):,}", f"{kept:,}", f"{calls_of(new):,}")
    shown.add_row("all", f"{len(docket.questions):,}", f"{len(found.kept):,}", f"{found.calls:,}", style="bold")
    console.print(shown)
    for line in bill(found, asker, prices):
        console.print(line, soft_wrap=True)
    if found.calls > params.max_calls:
        console.print(f"judge.max_calls is {params.max_calls}: the stage would stop before the first call", style="red")
    asker.close()


def bill(found: Plan[Any], asker: Asker, prices: Path) -> list[str]:
    """Where the calls of a plan go, how many tokens they take, and what that costs."""
    measured = asker.reply_tokens(FEW)
    tokens_out = found.calls * (measured or ASSUMED)
    basis = f"{measured} a call, the mean of kept answers" if measured else f"{ASSUMED} a call, assumed"
    return [
        f"to {asker.target.host}, model {asker.target.model}",
        f"tokens: about {found.tokens:,} in (characters / 4), {tokens_out:,} out ({basis})",
        cost(asker.target.model, found.tokens, tokens_out, prices),
    ]


def kinds(docket: Docket, params: Settings) -> list[tuple[str, list[int]]]:
    """(what is asked for, places of its questions), in the order in which they are asked."""
    graded = len(docket.graded)
    duels = graded + (2 * len(docket.cases) if params.pairwise else 0)
    metrics = [(m, [at for at, of in enumerate(docket.graded) if of.metric == m]) for m in params.metrics]
    pairs = [("pairwise", list(range(graded, duels)))] if params.pairwise else []
    return [*metrics, *pairs, ("controls", list(range(duels, len(docket.questions))))]


def cost(model: str, tokens_in: int, tokens_out: int, path: Path) -> str:
    """The cost in words; a model without a price has none."""
    if not path.is_file():
        raise ParleyError(f"{path} is not there: PRICES names a table such as {PRICES.name} beside this tool")
    try:
        prices = Prices.model_validate(read_yaml(path))
    except ValidationError as error:
        detail = error.errors()[0]
        raise ParleyError(f"{path}: {'.'.join(map(str, detail['loc']))}: {detail['msg']}") from None
    if model not in prices.models:
        return f"cost: not known: {path} has no price for {model}; make judge-plan PRICES=file.yaml reads one of yours"
    price = prices.models[model]
    dollars = (tokens_in * price.input + tokens_out * price.output) / 1e6
    return f"cost: about ${dollars:.2f}, at ${price.input:g} in and ${price.output:g} out a million ({prices.date})"


if __name__ == "__main__":
    with told("judge-plan"):
        judge_plan(Path(), Path(sys.argv[1]) if sys.argv[1:] else PRICES, Console())
