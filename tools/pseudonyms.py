"""make pseudonyms: who is who, for you alone: data/pseudonyms.json, author id → pseudonym and the names shown for them.

Nothing else writes it, git ignores it, and `make forget` and `make clean` remove it.
"""

from pathlib import Path

from parley.conversation import message_of
from parley.conversion.people import meet
from parley.conversion.redaction import Redact, Redactor
from parley.files import write_json
from parley.jsonl import rows_of
from parley.params import read_section
from stages.convert import Convert
from tools import told

PLACE = Path("data/pseudonyms.json")


def write_pseudonyms(root: Path) -> int:
    """Writes the file from data/interim, with the pseudonyms that convert gives; how many people it names."""
    excluded = read_section(root, "convert", Convert).exclude_authors
    messages = (message_of(row) for _, row in rows_of(root / "data/interim/messages.jsonl"))
    people = meet(messages, opted_out=excluded).names
    redact = read_section(root, "redact", Redact).model_copy(update={"model": ""})  # it changes no pseudonym
    redactor = Redactor(redact, people, opted_out=excluded)
    known = sorted(set(people) - set(excluded))
    write_json(root / PLACE, {key: {"pseudonym": redactor.name(key), "names": sorted(people[key])} for key in known})
    return len(known)


def main() -> None:
    with told("pseudonyms"):
        print(f"pseudonyms: {PLACE}: {write_pseudonyms(Path())} people. It undoes the redaction: give it to nobody")


if __name__ == "__main__":
    main()
