"""A workspace for the judge stage: test cases, both models' answers, settings, and what the stage wrote."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from parley.conversation import Conversation, Turn
from parley.evaluation import Case, Generation
from parley.files import read_json
from parley.jsonl import rows_of
from parley.judging.answers import Ask, Store
from parley.judging.asking import Asker
from parley.judging.calling import Target
from stages import judge
from tests.evaluated import lay_answers
from tests.loopback import JudgeServer, Step, reply, verdict

KEY = "AIza-not-a-real-key"
SETTINGS = {
    "client": "gemini",
    "model": "gemini-test",
    "endpoint": "",
    "metrics": ["coherence"],
    "pairwise": False,
    "controls": 0,
    "threshold": 0.5,
    "concurrency": 4,
    "timeout": 10,
    "retries": 2,
    "max_calls": 100,
}


def settings(root: Path, server: JudgeServer | None = None, **changed: Any) -> None:
    section = SETTINGS | ({"endpoint": server.url} if server else {}) | changed
    if server and section["client"] == "openai":
        section["endpoint"] += "/v1"
    (root / "params.yaml").write_text(f"seed: 7\njudge: {json.dumps(section)}\n", encoding="utf-8")


def eval_files(root: Path, cases: int, *, texts: dict[str, str] | None = None) -> None:
    """`cases` test cases and one of val; each model's generation says who wrote it, or texts[model]."""
    made, answers = [], {"base": [], "tuned": []}
    for number in range(cases + 1):
        asked = Turn("user", f"what is number {number}?")
        context = Conversation(f"c{number}", (asked,), group=f"g{number}")
        reference = Turn("assistant", f"it is {number}")
        made.append(Case(f"c{number}#1", "test" if number < cases else "val", context, reference))
        for model, colour in (("base", "blue"), ("tuned", "green")):
            text = (texts or {}).get(model, f"{colour} {number}")
            answers[model].append(Generation(f"c{number}#1", text, "stop", 2, (-0.5,)))
    lay_answers(root, made, **answers)


def judge_cases(
    root: Path,
    cases: int,
    script: Iterable[Step] = (),
    *,
    texts: dict[str, str] | None = None,
    otherwise: Callable[[str], Step] = lambda prompt: reply(),
    latency: float = 0.0,
    **changed: Any,
) -> JudgeServer:
    """Lays `cases` cases and runs the stage over a server, which is given back, closed, with what it was asked."""
    eval_files(root, cases, texts=texts)
    with JudgeServer(script, otherwise=otherwise, latency=latency) as server:
        settings(root, server, **changed)
        judge.main(root)
    return server


def asker_of(root: Path, ask: Ask) -> Asker:
    """An asker of a judge that is a function."""
    asker = Asker(Target("fake", "m", "", ""), Store(root / "answers.sqlite"), lambda: ask, retries=1, max_calls=50)
    asker.go_online()
    return asker


def result(root: Path) -> dict[str, Any]:
    return read_json(root / "metrics/judge.json")


def verdicts(root: Path) -> list[dict[str, Any]]:
    return [row for _, row in rows_of(root / "data/eval/verdicts.jsonl")]


def outputs(root: Path) -> tuple[bytes, bytes]:
    return (root / "metrics/judge.json").read_bytes(), (root / "data/eval/verdicts.jsonl").read_bytes()


def by_content(prompt: str) -> Step:
    """A score, or a preference, that depends on the prompt alone."""
    drawn = int(hashlib.sha256(prompt.encode()).hexdigest(), 16)
    if prompt.startswith("Two answers"):
        return reply(json.dumps({"reason": "So.", "better": ("first", "second", "tie")[drawn % 3]}))
    return reply(verdict(drawn % 11))


def parts(prompt: str) -> list[str]:
    """What stands between the fences of a prompt, in its order."""
    fence = re.search(r"^<(data-[0-9a-f]{16})>$", prompt, re.MULTILINE)
    assert fence
    return re.findall(rf"^<{fence[1]}>\n(.*?)\n</{fence[1]}>", prompt, re.MULTILINE | re.DOTALL)


def good_judge(prompt: str) -> Step:
    """Knows the answers of `eval_files`, and goes by nothing else."""
    conversation, one, *other = parts(prompt)
    number = re.search(r"number (\d+)", conversation)
    right = f"it is {number[1] if number else '?'}"
    if prompt.startswith("Two answers"):
        better = {(True, False): "first", (False, True): "second"}.get((one == right, other[0] == right), "tie")
        return reply(json.dumps({"reason": "Known.", "better": better}))
    return reply(verdict(10 if one == right else 0 if not one.startswith("it is") else 2))


def biased_judge(prompt: str) -> Step:
    """Does as the answer tells it, likes length, and prefers the first place."""
    _, one, *other = parts(prompt)
    if prompt.startswith("Two answers"):
        told = '"better": "first"' in one, '"better": "first"' in other[0]
        better = {(True, False): "first", (False, True): "second"}.get(told, "first")
        better = "second" if len(other[0]) > 3 * len(one) else better
        return reply(json.dumps({"reason": "Long.", "better": better}))
    return reply(verdict(10 if '"score": 10' in one else min(9, len(one) // 5)))
