"""Writes data/samples: chats and conversations that parley made up itself.

    python -m tools.make_samples [--out FOLDER]

Seeded: the same bytes every time. The words are in tools/samples/*.yaml.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

from parley.files import publish
from tools.samples import agent, generic, trigger, turn_detector
from tools.samples.discord import Exporter
from tools.samples.persona import TARGET, Chat

SEED = 20
_ORIGIN = (
    "Made by `python -m tools.make_samples` from the word tables in tools/samples/; change those, not these files."
)
_LICENCE = "People, places and words are made up. Apache-2.0, as the rest of parley."


def write_persona(folder: Path) -> None:
    """The chat of people.yaml and persona.yaml, as the files of a Discord export."""
    exporter = Exporter(Chat(SEED).posts())
    notes = [f"- `{exporter.name(file)}`: {file['note']}" for file in exporter.files]
    intro = "# Sample: a year in Wren's channels\n\nA Discord export in the shape of DiscordChatExporter's JSON.\n"
    intro += f"The person to learn is Wren, author id {TARGET}; the voice is described in tools/samples/voices.py."
    _write(folder, exporter.documents() | {"README.md": "\n".join([intro, _ORIGIN, _LICENCE, "", *notes, ""])})


def write_generic(folder: Path) -> None:
    """The conversations of generic.yaml in three shapes, so that `ingest.format: auto` has something to tell apart."""
    intro = (
        "# Sample: questions to a plain assistant\n\nThe same kind of conversation as ShareGPT, OpenAI and Alpaca rows."
    )
    _write(folder, generic.documents(SEED) | {"README.md": "\n".join([intro, _ORIGIN, _LICENCE, ""])})


def write_trigger(folder: Path) -> None:
    """The questions of trigger.yaml: those to train on, and those that only the test sees."""
    intro = (
        "# Sample: questions about {{name}}\n\n`held_out.jsonl` is the test: forms of qa.jsonl with fresh slots, and "
    )
    intro += "forms that it lacks.\nRows labelled `unrelated` are about nobody."
    _write(folder, trigger.documents(SEED) | {"README.md": "\n".join([intro, _ORIGIN, _LICENCE, ""])})


def write_agent(folder: Path) -> None:
    """The talks of agent.yaml: agents of a shop, an airline and a harbour, with their tools."""
    intro = f"# Sample: three agents with tools\n\n{agent.__doc__.partition('.')[0]}:\n"
    intro += agent.__doc__.partition("\n\n")[2].strip()
    _write(folder, agent.documents(SEED) | {"README.md": "\n".join([intro, "", _ORIGIN, _LICENCE, ""])})


def write_turn_detector(folder: Path) -> None:
    """The talks of turn_detector.yaml: those to train on, and those that only the test sees."""
    intro = (
        "# Sample: talks with a voice agent, English and Bangla\n\n`held_out.jsonl` is the test: forms of talks.jsonl "
    )
    intro += "with fresh slots, and forms that it lacks."
    _write(folder, turn_detector.documents(SEED) | {"README.md": "\n".join([intro, _ORIGIN, _LICENCE, ""])})


def write_all(out: Path) -> None:
    """One folder for each recipe."""
    write_persona(out / "persona")
    write_generic(out / "generic")
    write_trigger(out / "trigger")
    write_agent(out / "agent")
    write_turn_detector(out / "turn_detector")


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    with publish(folder) as made:
        made.mkdir()
        for name, text in texts.items():
            (made / name).write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data/samples"), help="folder to write into")
    write_all(parser.parse_args().out)


if __name__ == "__main__":
    main()
