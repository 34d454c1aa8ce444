"""The files that `ingest.input` names, and the format of each."""

from pathlib import Path, PurePosixPath

from parley.errors import ParleyError
from parley.ingestion.reading import head_of
from parley.ingestion.shapes import described
from parley.ingestion.sources import files_below
from parley.plugins import plugin, plugin_names

HOW = (
    "Put an export there: of Discord by DiscordChatExporter with `--format Json`, of Telegram or WhatsApp, or rows in "
    "ShareGPT, OpenAI or Alpaca format (docs/formats.md has them all). Or set ingest.input to a folder of data/samples"
)


def files_of(root: Path, chosen: str, pattern: str = "*") -> list[tuple[Path, str]]:
    """(path, name) of every file to read, sorted by name: its path below the chosen folder, or just its name."""
    top = root / chosen
    if top.is_file():
        return [(top, top.name)]
    if not top.is_dir():
        raise ParleyError(f"{chosen}: no such file or folder (ingest.input). {HOW}")
    # DVC may link what it tracks into its cache.
    below = files_below(top, links_into=(top, root / ".dvc/cache"))
    found = [(path, name) for path, name in below if PurePosixPath(name).match(pattern)]
    if not found:
        called = "" if pattern == "*" else f" called {pattern}"
        there = sorted({path.suffix.lower() for path in top.rglob("*") if path.is_file()})
        among = (
            f" among those that are there ({', '.join(filter(None, there)) or 'without an ending'})" if there else ""
        )
        raise ParleyError(f"{chosen}: no file to read{called}{among}. {HOW}")
    return found


def format_of(path: Path, name: str, chosen: str) -> str:
    """The format of the file: the chosen one, or under `auto` the only one that recognises it."""
    head = head_of(path)
    if not head.strip():
        raise ParleyError(f"{path}: empty. Remove it, or export it again")
    if chosen != "auto":
        plugin("formats", chosen, key="ingest.format")
        return chosen
    names = plugin_names("formats")
    found = [known for known in names if plugin("formats", known, key="ingest.format").recognises(head, name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ParleyError(f"{path}: could be {' and '.join(found)}: set ingest.format to one of them")
    raise ParleyError(
        f"{path}: {described(path, head)}. That is none of {', '.join(names)}: convert it, or move it away"
    )
