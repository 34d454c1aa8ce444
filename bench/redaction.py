"""Recall and precision of redaction by kind, on texts whose identifying spans somebody has marked.

    PARLEY_REAL_DATA=... python -m bench.redaction [REGION]

reads pii/generated_{small,large}.json below that folder (microsoft/presidio-research, MIT). A marked span counts as
found when its words are gone from the text; a replacement beyond the marked spans counts as false.
"""

import json
import os
import sys
from collections import Counter
from pathlib import Path

from parley.identifiers import Step, cards, emails, ibans, ips, phones, urls

MARKED = {
    "EMAIL_ADDRESS": "emails",
    "PHONE_NUMBER": "phones",
    "CREDIT_CARD": "cards",
    "IBAN_CODE": "ibans",
    "IP_ADDRESS": "ips",
    "DOMAIN_NAME": "urls",
}


def main() -> None:
    steps: dict[str, Step] = {
        "urls": urls,
        "emails": emails,
        "ibans": ibans,
        "cards": cards,
        "ips": ips,
        "phones": phones(sys.argv[1] if len(sys.argv) > 1 else "US"),
    }
    marked: Counter[str] = Counter()
    found: Counter[str] = Counter()
    false: Counter[str] = Counter()
    for file in sorted((Path(os.environ["PARLEY_REAL_DATA"]) / "pii").glob("generated_*.json")):
        for entry in json.loads(file.read_text(encoding="utf-8")):
            text = entry["full_text"]
            for kind, step in steps.items():
                values = [span["entity_value"] for span in entry["spans"] if MARKED.get(span["entity_type"]) == kind]
                text, count = step(text)
                gone = sum(value not in text for value in values)
                marked[kind] += len(values)
                found[kind] += gone
                false[kind] += max(0, count - gone)
    print(f"{'kind':8} {'marked':>7} {'found':>7} {'false':>7} {'recall':>7} {'precision':>9}")
    for kind in steps:
        precision = found[kind] / max(1, found[kind] + false[kind])
        print(
            f"{kind:8} {marked[kind]:7} {found[kind]:7} {false[kind]:7} "
            f"{found[kind] / max(1, marked[kind]):7.3f} {precision:9.3f}"
        )


if __name__ == "__main__":
    main()
