"""Writes data/samples: chats and conversations that parley made up itself.

    python -m tools.make_samples [--out FOLDER]

Seeded: the same bytes every time. The words are in tools/samples/*.yaml.
"""

import argparse
from pathlib import Path

from parley.files import publish
from tools.samples.discord import Exporter
from tools.samples.persona import Chat

SEED = 20
_ORIGIN = (
    "Made by `python -m tools.make_samples` from the word tables in tools/samples/; change those, not these files."
)
_LICENCE = "People, places and words are made up. Apache-2.0, as the rest of parley."


def persona(folder: Path) -> None:
    """The chat of people.yaml and persona.yaml, as the files of a Discord export."""
    exporter = Exporter(Chat(SEED).posts())
    notes = [f"- `{exporter.name(file)}`: {file['note']}" for file in exporter.files]
    intro = "# Sample: a year in Wren's channels\n\nA Discord export in the shape of DiscordChatExporter's JSON."
    with publish(folder) as made:
        made.mkdir()
        for name, text in exporter.documents().items():
            (made / name).write_text(text, encoding="utf-8")
        (made / "README.md").write_text("\n".join([intro, _ORIGIN, _LICENCE, "", *notes, ""]), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data/samples"), help="folder to write into")
    out = parser.parse_args().out
    persona(out / "persona")


if __name__ == "__main__":
    main()
