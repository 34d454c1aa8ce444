"""Writes data/samples: chats and conversations that parley made up itself.

    python -m tools.make_samples

Seeded: the same bytes every time. The words are in tools/samples/*.yaml.
"""

from pathlib import Path

from parley.files import publish
from tools.samples import agent, generic, trigger, turn_detector
from tools.samples.discord import Exporter
from tools.samples.persona import TARGET, Chat

SEED = 20
_ORIGIN = (
    "Made by `python -m tools.make_samples` from the word tables in tools/samples/; change those, not these files."
)
PERSONA = "# Sample: a year in Wren's channels\n\nA Discord export in the shape of DiscordChatExporter's JSON."
GENERIC = (
    "# Sample: questions to a plain assistant\n\nThe same kind of conversation as ShareGPT, OpenAI and Alpaca rows."
)
TRIGGER = (
    "# Sample: questions about {{name}}\n\n`held_out.jsonl` is the test: forms of qa.jsonl with fresh slots, and "
    "forms that it lacks.\nRows labelled `unrelated` are about nobody."
)
TURN_DETECTOR = (
    "# Sample: talks with a voice agent, English and Bangla\n\n`held_out.jsonl` is the test: forms of talks.jsonl "
    "with fresh slots, and forms that it lacks."
)
_LICENCE = "People, places and words are made up. Apache-2.0, as the rest of parley."


def documents() -> dict[str, dict[str, str]]:
    """Recipe -> file name -> content."""
    exporter = Exporter(Chat(SEED).posts())
    return {
        "persona": exporter.documents() | {"README.md": _persona(exporter)},
        "generic": generic.documents(SEED) | {"README.md": _readme(GENERIC)},
        "trigger": trigger.documents(SEED) | {"README.md": _readme(TRIGGER)},
        "agent": agent.documents(SEED) | {"README.md": _agent()},
        "turn_detector": turn_detector.documents(SEED) | {"README.md": _readme(TURN_DETECTOR)},
    }


def _readme(*parts: str) -> str:
    return "\n".join([*parts, _ORIGIN, _LICENCE, ""])


def _persona(exporter: Exporter) -> str:
    """The page of the Discord export, with what each of its files is for."""
    about = f"The person to learn is Wren, author id {TARGET}; the voice is described in tools/samples/voices.py."
    return "\n".join(
        [_readme(PERSONA, about), *(f"- `{exporter.name(file)}`: {file['note']}" for file in exporter.files), ""]
    )


def _agent() -> str:
    """The page of the talks with agents: what the module that makes them says of them."""
    first, _, rest = agent.__doc__.partition("\n\n")
    return _readme(f"# Sample: three agents with tools\n\n{first.partition('.')[0]}:\n{rest.strip()}", "")


def write_all(out: Path) -> None:
    """One folder for each recipe."""
    for recipe, texts in documents().items():
        with publish(out / recipe) as made:
            made.mkdir()
            for name, text in texts.items():
                (made / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_all(Path("data/samples"))
