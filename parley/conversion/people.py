"""Who wrote the messages of an export: their names, how active they are, and what may not be quoted of them."""

import difflib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from parley.conversation import Message


@dataclass(frozen=True, slots=True)
class People:
    """Everybody but bots, by author id."""

    names: dict[str, dict[str, None]]  # id -> every name shown, of those who are only mentioned too
    messages: Counter[str]  # id -> messages
    unquotable: set[str]  # lines of those who opted out, as `_plain` gives them


def meet(messages: Iterable[Message], *, opted_out: Collection[str]) -> People:
    """The people who wrote the messages or are mentioned in them. Memory grows with people, not with messages."""
    people = People(defaultdict(dict), Counter(), set())
    bots = set()
    for message in messages:
        for author, names in [(message.author, message.names), *message.mentioned.items()]:
            people.names[author].update(dict.fromkeys(names))
        if message.bot:
            bots.add(message.author)
        else:
            people.messages[message.author] += 1
        if message.author in opted_out:
            people.unquotable.update(filter(None, map(_plain, message.text.splitlines())))
    for author in bots:
        del people.names[author]
        del people.messages[author]
    return people


def without_quotes(text: str, unquotable: Collection[str]) -> str:
    """The text without its quoted lines ("> ...") that somebody wrote who has opted out."""
    if ">" not in text:
        return text
    return "\n".join(line for line in text.splitlines() if not (line.startswith(">") and _plain(line) in unquotable))


def _plain(line: str) -> str:
    """A line as it is compared: without quote marks, case and spacing."""
    return " ".join(line.lstrip("> \t").casefold().split())


def who_else(author: str, people: People) -> str:
    """The tail of an error about an author who is not there: ids and counts only, names are private."""
    near = difflib.get_close_matches(author, people.messages, n=3, cutoff=0.6)
    # By count, then id: the same list in every run.
    active = sorted(people.messages.items(), key=lambda item: (-item[1], item[0]))[:5]
    return (
        f"{f'no message by {author!r}' if author else 'empty, and messages need an author who is learnt'}; "
        + (f"nearest: {', '.join(near)}; " if near else "")
        + f"most active: {', '.join(f'{name} ({count} messages)' for name, count in active)}; "
        "set it to the author id whose voice is learnt"
    )
