"""A finished run in a folder, small, for what is drawn of it; and what a browser would make of the page."""

import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from parley.conversation import Conversation, ToolCall, Turn, to_sharegpt
from parley.encoding.examples import Example, write_examples
from parley.evaluation import Case, Generation
from parley.files import read_json, write_json
from parley.jsonl import rows_into, write_jsonl
from parley.stage import write_counts
from stages import score
from tests.evaluated import lay_answers

REPO = Path(__file__).parents[1]
ATTACK = '<img src=x onerror="alert(1)"></style><script>alert(2)</script>'


class Page(HTMLParser):
    """What a browser would make of a page: its tags with attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def lay(root: Path, *, better: float = 2.0, cases: int = 24) -> None:
    """Every input of the report, small; the tuned model is `better` nats a token better than its base."""
    shutil.copy(REPO / "params.yaml", root)
    made, answers = [], {"tuned": [], "base": []}
    for number in range(cases):
        turns = (Turn("user", f"first {number}"), Turn("assistant", "mine"), Turn("user", f"{ATTACK} {number}"))
        context = Conversation(f"c{number}", turns, group=f"g{number}")
        reference = Turn("assistant", f"reference {number}", (ToolCall("look", {"at": "<b>bold</b>"}),))
        made.append(Case(f"c{number}#3", "test" if number % 4 else "val", context, reference))
        for model, gain in (("tuned", better), ("base", 0.0)):
            surprise = -4.0 - number % 3 + gain + (number % 5) / 10 * (model == "tuned")
            text = "" if model == "base" and number == 1 else f"{model} answer {number} {ATTACK}"
            finish = "length" if model == "base" else "stop"
            answers[model].append(Generation(f"c{number}#3", text, finish, 7, (surprise, surprise)))
    lay_answers(root, made, **answers)
    write_jsonl(root / "data/eval/verdicts.jsonl", [])
    metrics = root / "metrics"
    base = {"name": "parley-tiny", "kind": "embedded", "revision": "", "template": "chatml"}
    write_json(metrics / "base.json", base)
    write_counts(metrics / "ingest.json", rows_in=1200, rows_out=1150, dropped=Counter(bot=30, E001=20))
    write_counts(metrics / "convert.json", rows_in=1150, rows_out=1150, dropped=Counter(), conversations=90)
    write_counts(metrics / "data.json", rows_in=90, rows_out=88, dropped=Counter(W101=2))
    for split in ("train", "val", "test"):
        with rows_into(root / f"data/splits/{split}.jsonl") as add:
            for number in range(4):
                add(
                    to_sharegpt(
                        Conversation(f"{split}{number}", (Turn("user", f"q{ATTACK}"), Turn("assistant", "mine")))
                    )
                )
        write_examples(root / f"data/encoded/{split}.parquet", [Example(split, [1, 2, 3], [-100, 2, 3])])
    for stage in ("ingest", "convert", "validate", "encode"):
        with rows_into(root / f"data/rejects/{stage}.jsonl") as add:
            add({"source": f"{ATTACK}:7", "id": "", "code": "E001", "reason": ATTACK})
    write_counts(metrics / "encode.json", rows_in=76, rows_out=75, dropped=Counter(E018=1))
    evaluations = [{"epoch": 0.0, "step": 0, "loss": 7.5}, {"epoch": 1.0, "step": 3, "loss": 1.25}]
    train = {"base": base, "mode": "lora", "steps": 3, "data": {"sha256": "5a" * 32, "examples": 64}}
    write_json(metrics / "train.json", {**train, "eval": evaluations})
    (metrics / "train_log.csv").write_text("step,loss,lr,grad_norm\n1,6.5,0.001,\n2,3.5,0.003,1.5\n3,1.5,0.001,1\n")
    write_json(metrics / "merge.json", {"max_logit_difference": 3.25e-06})
    judge = {"client": "gemini", "model": "gemini-2.5-flash"}
    reason = "no GEMINI_API_KEY"
    write_json(metrics / "judge.json", {"status": "not_scored", "reason": reason, "judge": judge, "metrics": {}})
    score.main(root)


def html(root: Path) -> str:
    return (root / "metrics/report.html").read_text(encoding="utf-8")


def markdown(root: Path) -> str:
    return (root / "metrics/report.md").read_text(encoding="utf-8")


def change(path: Path, **values: Any) -> None:
    found = read_json(path)
    found.pop("schema")
    write_json(path, {**found, **values})


def score_of(root: Path, metric: str) -> dict[str, Any]:
    return read_json(root / "metrics/scores.json")["test"][metric]
