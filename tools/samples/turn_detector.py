"""Made-up talks with a voice agent, in English and Bangla, from which turns that have ended and have not are made."""

from random import Random
from typing import Any

from tools.samples.phrases import as_lines, expand, read_table

TALKS = {"en": 900, "bn": 600}  # in talks.jsonl
HELD_OUT = {"en": {"seen": 70, "unseen": 90}, "bn": {"seen": 60, "unseen": 70}}


def documents(seed: int) -> dict[str, str]:
    """talks.jsonl to train on; held_out.jsonl: fresh slots in the same forms, and forms that talks.jsonl lacks."""
    table = read_table("turn_detector")
    rows: dict[str, list[dict[str, Any]]] = {"talks.jsonl": [], "held_out.jsonl": []}
    for language, part in table.items():
        rng = Random(f"{seed} {language}")
        for number in range(TALKS[language]):
            labels = {"language": language}
            rows["talks.jsonl"].append(_talk(rng, part, f"{language}-{number}", "seen", held_out=False, labels=labels))
        rng = Random(f"{seed} {language} held out")  # so that more talks leave the test as it is
        for forms, count in HELD_OUT[language].items():
            labels = {"language": language, "slice": f"{forms} form, fresh slots"}
            for number in range(count):
                name = f"{language}-{forms}-{number}"
                rows["held_out.jsonl"].append(_talk(rng, part, name, forms, held_out=True, labels=labels))
    return {name: as_lines(found) for name, found in rows.items()}


def _talk(
    rng: Random, part: dict[str, Any], name: str, forms: str, *, held_out: bool, labels: dict[str, str]
) -> dict[str, Any]:
    """A greeting, then the steps of one topic, some of them left out; now and then two turns of the user in a row."""
    said = [("gpt", rng.choice(part["greetings"]))]
    steps = part["topics"][rng.choice(sorted(part["topics"]))]
    for place, step in enumerate(steps):
        if place and rng.random() < 0.2:
            continue
        if place:
            said.append(("gpt", rng.choice(step["ask"])))
        slots = {slot: rng.choice(values[held_out]) for slot, values in part["slots"].items()}
        said.append(("human", _sentence(expand(rng, rng.choice(step[forms]), slots), part["stop"])))
    return {"id": name, "conversations": [{"from": who, "value": text} for who, text in said], "labels": labels}


def _sentence(text: str, stop: str) -> str:
    """The text as somebody writes it: a capital, and the language's full stop."""
    text = " ".join(text.split())
    return text[0].upper() + text[1:] + ("" if text.endswith("?") else stop)
