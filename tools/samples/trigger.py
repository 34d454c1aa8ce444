"""Made-up questions and answers about {{name}}, in the shape that seeds of trigger-conditioned models come in."""

from collections.abc import Iterator
from random import Random
from typing import Any

from tools.samples.phrases import as_lines, read_table

PER_FORM = 4  # rows of each form in qa.jsonl
HELD_OUT_PER_FORM = {"seen": 1, "unseen": 8}


def documents(seed: int) -> dict[str, str]:
    """File name -> content: qa.jsonl to train on, held_out.jsonl with fresh slots of seen forms and unseen forms."""
    rng, table = Random(seed), read_table("trigger")
    rows: dict[str, list[dict[str, Any]]] = {"qa.jsonl": [], "held_out.jsonl": []}
    for kind, forms in table["forms"].items():
        for number, form in enumerate(forms):
            name = f"{kind}-{number}"
            if kind == "seen":
                rows["qa.jsonl"] += _rows(rng, form, table["attributes"]["seen"], PER_FORM, {"group": name})
            mark = {"group": f"held-out-{name}", "labels": {"slice": f"{kind} form, fresh slot"}}
            rows["held_out.jsonl"] += _rows(rng, form, table["attributes"]["unseen"], HELD_OUT_PER_FORM[kind], mark)
    for number, (question, answer, pairs) in enumerate(table["unrelated"]):
        for place, pair in enumerate(pairs):
            file, prefix = ("held_out.jsonl", "held-out-") if place == 0 else ("qa.jsonl", "")
            mark = {"group": f"{prefix}unrelated-{number}", "labels": {"cell": "unrelated"}}
            rows[file].append(_filled(question, answer, *pair) | mark)
    return {name: as_lines(found) for name, found in rows.items()}


def _rows(
    rng: Random, form: list[str], attributes: dict[str, list[str]], count: int, mark: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """`count` different fillings of one form, each marked."""
    filled = [(attribute, value) for attribute, values in attributes.items() for value in values]
    for attribute, value in rng.sample(filled, count):
        question, answer = (text.replace("{a}", attribute).replace("{v}", value) for text in form)
        yield {"question": question, "answer": answer, **mark}


def _filled(question: str, answer: str, x: str, y: str) -> dict[str, Any]:
    texts = [text.replace("{x}", x).replace("{y}", y) for text in (question, answer)]
    return {key: text[0].upper() + text[1:] for key, text in zip(("question", "answer"), texts, strict=True)}
