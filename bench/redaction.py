"""Recall and precision of redaction by kind, on texts whose identifying spans somebody has marked.

    PARLEY_REAL_DATA=... python -m bench.redaction [REGION]

reads pii/generated_{small,large}.json below that folder (microsoft/presidio-research, MIT), the telephone numbers of
its FakeNameGenerator.com_100.csv, and the tests' sentences in several languages (tests/planted.py). A marked span
counts as found when its words are gone from the text; a replacement beyond the marked spans counts as false. For
`names`, the people of each text are taken for the export's participants.
"""

import csv
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from parley.conversion.identifiers import steps
from parley.conversion.redaction import names

MARKED = {
    "EMAIL_ADDRESS": "emails",
    "PHONE_NUMBER": "phones",
    "CREDIT_CARD": "cards",
    "IBAN_CODE": "ibans",
    "IP_ADDRESS": "ips",
    "DOMAIN_NAME": "urls",
    "PERSON": "names",
}
KINDS = ("urls", "keys", "emails", "ibans", "cards", "ips", "phones", "names")
Spans = list[tuple[str, str]]  # (kind, what is marked)


def english(folder: Path) -> Iterator[tuple[str, Spans]]:
    """(text, spans) of presidio-research's made-up sentences."""
    for file in sorted(folder.glob("generated_*.json")):
        for entry in json.loads(file.read_text(encoding="utf-8")):
            spans = [(MARKED.get(span["entity_type"], ""), span["entity_value"]) for span in entry["spans"]]
            yield entry["full_text"], [span for span in spans if span[0]]


def numbers(folder: Path) -> Iterator[tuple[str, Spans]]:
    """(text, spans) of a telephone number of each of 100 made-up people, all over the world."""
    with (folder / "FakeNameGenerator.com_100.csv").open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            yield f"Call me at {row['TelephoneNumber']}.", [("phones", row["TelephoneNumber"])]


def several_languages() -> Iterator[tuple[str, Spans]]:
    """(text, spans) of the sentences that the tests plant."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from planted import NAMED, PLANTED

    planted = [*PLANTED, *(("names", sentence, name) for sentence, name in NAMED)]
    return ((sentence.format(value), [(kind, value)]) for kind, sentence, value in planted)


def measure(title: str, texts: Iterable[tuple[str, Spans]], region: str) -> None:
    """Prints one table."""
    marked, found, false = Counter[str](), Counter[str](), Counter[str]()
    for text, spans in texts:
        people = {f"{number:09}": (value,) for number, (kind, value) in enumerate(spans) if kind == "names"}
        for kind, step in {**steps(region), "names": names(people, {})}.items():
            values = [value for wanted, value in spans if wanted == kind]
            text, count = step(text)
            gone = sum(value not in text for value in values)
            marked[kind] += len(values)
            found[kind] += gone
            false[kind] += max(0, count - gone)
    print(f"\n{title}\n\n| kind | marked | found | false | recall | precision |\n|---|---|---|---|---|---|")
    for kind in KINDS:
        recall = f"{found[kind] / marked[kind]:.3f}" if marked[kind] else "-"
        precision = f"{found[kind] / (found[kind] + false[kind]):.3f}" if found[kind] + false[kind] else "-"
        print(f"| {kind} | {marked[kind]} | {found[kind]} | {false[kind]} | {recall} | {precision} |")


def main() -> None:
    region = sys.argv[1] if len(sys.argv) > 1 else "US"
    folder = Path(os.environ["PARLEY_REAL_DATA"]) / "pii"
    measure("presidio-research, 700 sentences in English", english(folder), region)
    measure("100 telephone numbers, each in a sentence", numbers(folder), region)
    measure("tests/planted.py, sentences in a dozen languages", several_languages(), region)


if __name__ == "__main__":
    main()
