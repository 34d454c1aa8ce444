"""Made-up talks with three agents that have tools, in the shapes in which such data comes.

hermes.jsonl: calls and tools as text. steps.jsonl: raw data as a generator leaves it, arguments as text, thoughts,
order ids without their #, and rows that no step can save. log.json: runs of a benchmark. held_out.jsonl: for the test
split; its rows say whether their phrasings stand in the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from tools.samples.phrases import as_json, as_lines, as_list, expand, read_table

SIZES = {"hermes.jsonl": 420, "steps.jsonl": 160, "log.json": 60, "held_out.jsonl": 90}
ROLES = {"user": "human", "assistant": "gpt", "tool": "observation"}  # ShareGPT's names
BROKEN = {7: "arguments", 31: "tool", 58: "order", 94: "argument", 120: "think"}  # rows of steps.jsonl


@dataclass(frozen=True, slots=True)
class Said:
    """A turn: text, or calls, or the result of one."""

    role: str  # user, assistant or tool
    text: str
    calls: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation with an agent."""

    domain: str
    system: str
    tools: list[dict[str, Any]]
    turns: tuple[Said, ...]


def documents(seed: int) -> dict[str, str]:
    """File name -> content. No talk is made twice."""
    rng = Random(f"agent {seed}")
    table = read_table("agent")
    seen: set[str] = set()

    def fresh(phrasing: str) -> Talk:
        while True:
            talk = _talk(rng, table, phrasing)
            if repr(talk.turns) not in seen:
                seen.add(repr(talk.turns))
                return talk

    hermes = [_hermes(number, fresh("ask")) for number in range(SIZES["hermes.jsonl"])]
    steps = [_steps(rng, number, fresh("ask")) for number in range(SIZES["steps.jsonl"])]
    log = [_run(number, fresh("ask")) for number in range(SIZES["log.json"])]
    kinds = ["held_out" if number % 3 == 2 else "ask" for number in range(SIZES["held_out.jsonl"])]
    held = [_held_out(number, fresh(kind), kind) for number, kind in enumerate(kinds)]
    return {
        "hermes.jsonl": as_lines(hermes),
        "steps.jsonl": as_lines(steps),
        "log.json": as_list(log),
        "held_out.jsonl": as_lines(held),
    }


def _talk(rng: Random, table: Mapping[str, Any], phrasing: str) -> Talk:
    """One to three requests to one agent, which has three of its domain's tools, the needed ones among them."""
    domain = rng.choice(list(table["domains"]))
    about = table["domains"][domain]
    offered = rng.sample(list(about["tools"]), 3)
    turns: list[Said] = []
    for _ in range(rng.choice([1, 1, 2])):
        turns += _request(rng, about["tools"][name := rng.choice(offered)], name, table["pools"], phrasing)
    if rng.random() < 0.4:
        small = rng.choice(table["small"])
        said = (("user", "ask"), ("assistant", "answer"))
        chat = [Said(role, expand(rng, rng.choice(small[kind]), {})) for role, kind in said]
        turns = chat + turns if small is table["small"][1] else turns + chat
    tools = [_schema(name, about["tools"][name], table["pools"]) for name in offered]
    return Talk(domain, about["system"], tools, tuple(turns))


def _request(rng: Random, tool: Mapping[str, Any], name: str, pools: Mapping[str, Any], phrasing: str) -> list[Said]:
    """A request, the call or the two that it needs, their results and the answer."""
    two = len(tool["arguments"]) == 1 and phrasing == "ask" and rng.random() < 0.12
    drawn = [{slot: rng.choice(values) for slot, values in pools.items()} for _ in range(2 if two else 1)]
    slots = [{slot: str(value) for slot, value in one.items()} for one in drawn]
    ask = expand(rng, rng.choice(tool[phrasing]), slots[0])
    turns = [Said("user", ask)]
    if two:
        (slot,) = tool["arguments"].values()
        ask = f"{ask} [And the same for {slots[1][slot]}.|And for {slots[1][slot]}?]"
        turns = [Said("user", expand(rng, ask, {}))]
    elif "missing" in tool and phrasing == "ask" and rng.random() < 0.3:
        turns = [Said("user", expand(rng, rng.choice(tool["missing"]), {})), Said("assistant", tool["want"])]
        turns.append(Said("user", expand(rng, rng.choice(tool["give"]), slots[0])))
    calls = tuple(
        {"name": name, "arguments": {key: _given(one[slot], key, tool) for key, slot in tool["arguments"].items()}}
        for one in drawn
    )
    results = []
    for one in slots:
        found = {key: one[slot] for key, slot in tool["result"].items()} or {"done": "yes"}
        one.update(found)
        results.append(Said("tool", as_json(found)))
    answer = " ".join(expand(rng, rng.choice(tool["answer"]), one) for one in slots)
    return [*turns, Said("assistant", "", calls), *results, Said("assistant", answer)]


def _given(value: Any, key: str, tool: Mapping[str, Any]) -> Any:
    if key == "order_id":
        return f"#{value}"
    return value if key in tool.get("number", []) else str(value)


def _schema(name: str, tool: Mapping[str, Any], pools: Mapping[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for key in tool["arguments"]:
        properties[key] = {"type": "integer" if key in tool.get("number", []) else "string"}
        if key in tool.get("enum", {}):
            properties[key]["enum"] = pools[tool["enum"][key]]
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "type": "function",
        "function": {"name": name, "description": tool["about"], "parameters": parameters},
    }


def _hermes(number: int, talk: Talk) -> dict[str, Any]:
    """Everything as text, as Hermes and Qwen write it."""
    tools = "\n".join(map(as_json, talk.tools))
    system = (
        f"{talk.system}\n\n# Tools\n\nYou may call functions.\n<tools>\n{tools}\n</tools>\n\n"
        'Call one like this:\n<tool_call>\n{"name": <name>, "arguments": <object>}\n</tool_call>'
    )
    turns: list[dict[str, str]] = []
    for said in talk.turns:
        if said.calls:
            text = "\n".join(f"<tool_call>\n{as_json(call)}\n</tool_call>" for call in said.calls)
            turns.append({"from": "gpt", "value": text})
        elif said.role == "tool":
            text = f"<tool_response>\n{said.text}\n</tool_response>"
            if turns[-1]["value"].endswith("</tool_response>"):
                turns[-1]["value"] += f"\n{text}"
            else:
                turns.append({"from": "human", "value": text})
        else:
            turns.append({"from": ROLES[said.role], "value": said.text})
    return {"id": f"hermes-{number:03}", "conversations": turns, "system": system}


def _steps(rng: Random, number: int, talk: Talk) -> dict[str, Any]:
    """A raw row: each call a turn, with a thought, its arguments as JSON or Python text; some rows are broken."""
    broken = BROKEN.get(number, "")
    turns: list[dict[str, str]] = []
    for said in talk.turns:
        for call in said.calls:
            given = call["arguments"].items()
            arguments = {key: value.removeprefix("#") if isinstance(value, str) else value for key, value in given}
            text = as_json(arguments) if rng.random() < 0.5 else repr(arguments)
            text = text[:-1] if broken == "arguments" else text
            name = f"no_{call['name']}" if broken == "tool" else call["name"]
            if broken == "argument":
                text = as_json({**arguments, "urgent": True})
            end = "" if broken == "think" else "</think>"
            thought = "" if rng.random() < 0.5 and end else f"<think>\nThey want me to {name}.\n{end}\n"
            turns.append({"from": "function_call", "value": thought + as_json({"name": name, "arguments": text})})
        if not said.calls:
            turns.append({"from": ROLES[said.role], "value": said.text})
    if broken == "order":
        turns = [turn for turn in turns if turn["from"] != "function_call"]
    row = {"id": f"steps-{number:03}", "conversations": turns, "system": talk.system}
    return row | {"tools": as_json(talk.tools)}


def _run(number: int, talk: Talk) -> dict[str, Any]:
    """A run as tau-bench logs it, with the tools beside it."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": talk.system}]
    waiting: list[str] = []
    for place, said in enumerate(talk.turns):
        if said.calls:
            waiting = [f"call-{place}-{index}" for index in range(len(said.calls))]
            calls = [
                {"id": id, "type": "function", "function": {**call, "arguments": as_json(call["arguments"])}}
                for id, call in zip(waiting, said.calls, strict=True)
            ]
            messages.append({"role": "assistant", "content": None, "tool_calls": calls})
        elif said.role == "tool":
            messages.append({"role": "tool", "tool_call_id": waiting.pop(0), "content": said.text})
        else:
            messages.append({"role": said.role, "content": said.text})
    return {"task_id": number, "trial": 0, "reward": 1.0, "tools": talk.tools, "traj": messages}


def _held_out(number: int, talk: Talk, kind: str) -> dict[str, Any]:
    turns = []
    for said in talk.turns:
        if said.calls:
            calls = said.calls[0] if len(said.calls) == 1 else said.calls
            turns.append({"from": "function_call", "value": as_json(calls)})
        else:
            turns.append({"from": ROLES[said.role], "value": said.text})
    phrasing = "seen" if kind == "ask" else "unseen"
    row = {"id": f"held-out-{number:02}", "conversations": turns, "system": talk.system}
    return row | {"tools": as_json(talk.tools), "labels": {"domain": talk.domain, "phrasing": phrasing}}
