"""Made-up conversations with a plain assistant, in the three shapes that public data comes in."""

from collections.abc import Callable
from random import Random
from typing import Any

from tools.samples.phrases import as_lines, as_list, draw_slots, expand, read_table

Exchange = tuple[str, str]  # a question and its answer


def documents(seed: int) -> dict[str, str]:
    """File name -> content: 400 ShareGPT rows, 60 OpenAI rows, 60 Alpaca rows; no conversation is made twice."""
    rng = Random(f"generic {seed}")
    tables = read_table("generic")
    shapes: dict[str, tuple[int, Callable[[int, str, list[Exchange]], dict[str, Any]]]] = {
        "sharegpt.jsonl": (400, _sharegpt),
        "openai.jsonl": (60, _openai),
        "alpaca.json": (60, _alpaca),
    }
    made: set[str] = set()
    found = {}
    for name, (count, shape) in shapes.items():
        rows: list[dict[str, Any]] = []
        while len(rows) < count:
            system, exchanges = _conversation(rng, tables)
            if repr(exchanges) not in made:
                made.add(repr(exchanges))
                rows.append(shape(len(rows), system, exchanges))
        found[name] = as_list(rows) if name.endswith(".json") else as_lines(rows)
    return found


def _conversation(rng: Random, tables: dict[str, Any]) -> tuple[str, list[Exchange]]:
    """A system prompt, "" in half of them, and one to four exchanges."""
    system: dict[str, Any] = {"prompt": "", "brief": False}
    if rng.random() < 0.5:
        system = rng.choice(tables["systems"])
    exchanges: list[Exchange] = []
    wanted = rng.choice([1, 1, 2, 2, 3, 4])
    while len(exchanges) < wanted:
        topic = rng.choice(list(tables["topics"].values()))
        slots = draw_slots(rng, topic, {})
        follow_ups = rng.sample(topic["more"], k=rng.randrange(len(topic["more"]) + 1))
        for part in [topic, *follow_ups][: wanted - len(exchanges)]:
            exchanges.append(_exchange(rng, part, slots, brief=system["brief"]))
    if len(exchanges) < 4 and rng.random() < 0.15:
        exchanges.append(_exchange(rng, rng.choice(tables["small"]), {}, brief=False))
    return system["prompt"], exchanges


def _exchange(rng: Random, part: dict[str, Any], slots: dict[str, str], *, brief: bool) -> Exchange:
    question = expand(rng, rng.choice(part["ask"]), slots)
    answer = expand(rng, rng.choice(part["brief" if brief else "answer"]), slots)
    return _sentence(question), _sentence(answer)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _sharegpt(number: int, system: str, exchanges: list[Exchange]) -> dict[str, Any]:
    turns = []
    for question, answer in exchanges:
        turns += [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"id": f"generic-{number:03}", "conversations": turns} | ({"system": system} if system else {})


def _openai(number: int, system: str, exchanges: list[Exchange]) -> dict[str, Any]:
    turns = [{"role": "system", "content": system}] if system else []
    for question, answer in exchanges:
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns}


def _alpaca(number: int, system: str, exchanges: list[Exchange]) -> dict[str, Any]:
    *history, (question, answer) = exchanges
    row: dict[str, Any] = {"instruction": question, "input": "", "output": answer}
    return row | ({"system": system} if system else {}) | ({"history": history} if history else {})
