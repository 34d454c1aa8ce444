"""What identifies people leaves the text here: addresses, numbers and keys (identifiers.py), participants' names.

"ask Ana Ruiz, ana@example.org or 650-253-0000" becomes "ask Robin, <email> or <phone>". A participant has one
pseudonym in every file; nobody but the person's own author id decides which.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Literal

from pydantic import Field

from parley.conversion.entities import entities
from parley.conversion.identifiers import LETTER, UNSPACED, Step, steps
from parley.conversion.names import NAME_WORDS, ORDINARY, PSEUDONYMS
from parley.params import Section

Kind = Literal["urls", "keys", "emails", "ibans", "cards", "ips", "phones", "names"]
NOBODY = "<name>"  # in place of a person who has opted out, or whom the export does not name


class Redact(Section):
    """Section `redact`."""

    kinds: list[Kind]
    phone_region: str = Field(pattern="^[A-Z]{2}$")
    model: str


class Redactor:
    """Redacts texts and counts what it found by kind.

    people: author id -> every name the export shows for the person. opted_out: ids whose names become <name>
    whatever the parameters say; the others' go if `redact.kinds` has names.
    """

    def __init__(self, params: Redact, people: Mapping[str, Collection[str]], opted_out: Collection[str] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self._files: dict[str, str] = {}
        self._alike: defaultdict[str, dict[str, int]] = defaultdict(dict)
        known = set(people) - set(opted_out)
        by_name = "names" in params.kinds
        self._names = pseudonyms(people, known) if by_name else {key: _shown(people, key) for key in known}
        hidden = set(people) if by_name else set(opted_out)
        found = steps(params.phone_region)
        self._steps: list[tuple[str, Step]] = [(kind, step) for kind, step in found.items() if kind in params.kinds]
        if hidden:
            self._steps.append(("names", names({key: people.get(key, ()) for key in hidden}, self._names)))
        if params.model:
            self._steps.append(("model", entities(params.model, self._names.values())))

    @property
    def kinds(self) -> list[str]:
        """The kinds of things that are looked for."""
        return [kind for kind, _ in self._steps]

    def text(self, text: str) -> str:
        """The text without what identifies people, which is counted."""
        for kind, step in self._steps:
            text, found = step(text)
            if found:
                self.counts[kind] += found
        return text

    def label(self, source: str) -> str:
        """A file:line, redacted (a private chat's file is called after a person or a number), not counted."""
        name, colon, line = source.rpartition(":")
        if name not in self._files:  # few files, many lines
            self._files[name] = self._hidden(name)
        return f"{self._files[name]}{colon}{line}"

    def id(self, id: str) -> str:
        """An id or a group, redacted, not counted; a number tells those apart that would become one."""
        shown = self._hidden(id)
        if shown == id:
            return id
        number = self._alike[shown].setdefault(id, len(self._alike[shown]) + 1)
        return shown if number == 1 else f"{shown}~{number}"

    def _hidden(self, label: str) -> str:
        for kind, step in self._steps:
            if kind in ("emails", "phones", "names", "model"):
                label, _ = step(label)
        return label

    def value(self, value: Any) -> Any:
        """A JSON value, every string in it redacted: a tool call's arguments."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.value(inner) for key, inner in value.items()}
        return [self.value(inner) for inner in value] if isinstance(value, list) else value

    def name(self, author: str) -> str:
        """What to call an author: the pseudonym, or the name as shown when names are not redacted."""
        return self._names.get(author, NOBODY)


def pseudonyms(people: Mapping[str, Collection[str]], known: Iterable[str]) -> dict[str, str]:
    """Author id -> pseudonym, by order of the ids; none is a word of a participant's own name."""
    taken = {word.casefold() for shown in people.values() for name in shown for word in _PART.findall(name)}
    free = [name for name in PSEUDONYMS if name.casefold() not in taken]
    found = {}
    for place, author in enumerate(sorted(known)):
        turn, index = divmod(place, len(free))
        found[author] = f"{free[index]} {turn + 1}" if turn else free[index]
    return found


def _shown(people: Mapping[str, Collection[str]], author: str) -> str:
    return next(iter(people[author]), author)


_PART = re.compile(rf"[^\W\d_{UNSPACED}]+|[{UNSPACED}]+")
_COMPACT = re.compile(rf"[{UNSPACED}]")
_MENTION = re.compile(r"<@!?(\d+)>")
_LONGEST = 100  # characters of a name that anybody would repeat whole
_FREQUENT = 3  # a part of a name that more people share points at nobody (and is a word such as "member")


def names(people: Mapping[str, Collection[str]], called: Mapping[str, str]) -> Step:
    """Participants' names, the parts of their names, and mentions -> what `called` has for them, or <name>.

    A mention of somebody the export does not name (@handle, outside code) is <name> too. Whole words only, in any
    case. A name that is an ordinary word ("Will") goes where it is mentioned (@Will)
    or written large inside a sentence; a very short one, or digits, only where it is mentioned.
    """
    instead: dict[str, str] = {}
    anywhere: list[str] = []
    inside: list[str] = []
    for form, author in _forms(people):
        if form.casefold() in instead:
            continue
        instead[form.casefold()] = called.get(author, NOBODY)
        if _is_telling(form) or form == author:
            anywhere.append(form)
        elif len(form) > 2 and form[0].isupper():
            inside.append(form)
    pattern = re.compile("|".join(_patterns(anywhere, inside, mentioned=list(instead))), re.IGNORECASE)

    made = {word for name in called.values() for word in name.split()}

    def replace(match: re.Match[str]) -> str:
        found = match[0]
        if raw := _MENTION.fullmatch(found):
            return "@" + called.get(raw[1], NOBODY)
        if found.casefold() in instead:
            return instead[found.casefold()]
        if found[0] == "@" and found[1:].casefold() not in instead:
            in_code = match.string.count("`", 0, match.start()) % 2  # a decorator
            return found if in_code or found[1:] in made else "@" + NOBODY
        return ("@" if found[0] == "@" else "") + instead.get(found.removeprefix("@").casefold(), NOBODY)

    return lambda text: pattern.subn(replace, text)


def _forms(people: Mapping[str, Collection[str]]) -> Iterator[tuple[str, str]]:
    """(what may stand for a person in a text, author id): ids and whole names first, then parts of names."""
    parts: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for author in sorted(people):
        if len(author) >= 8:
            yield author, author
        for name in people[author]:
            for form in {unicodedata.normalize(kind, name.strip()): None for kind in ("NFC", "NFD")}:
                if 0 < len(form) <= _LONGEST:
                    yield form, author
                for word in _PART.findall(form):
                    parts[word.casefold()].setdefault(author, word)
    for owners in parts.values():
        author, word = next(iter(owners.items()))
        if len(owners) <= _FREQUENT and (_is_telling(word) or word.casefold() in NAME_WORDS):
            yield word, author


def _is_telling(form: str) -> bool:
    """Whether a name points at its person wherever it stands: long enough, no number, no ordinary word."""
    if len(_COMPACT.findall(form)) >= 2:
        return True
    letters = [char for char in form if char.isalpha()]
    return len(letters) >= 3 and form.casefold() not in ORDINARY


def _patterns(anywhere: list[str], inside: list[str], mentioned: list[str]) -> Iterator[str]:
    yield r"<@!?\d+>"
    if mentioned:
        yield rf"@{_any_of(mentioned)}(?!{LETTER})"
    yield rf"(?<![\w@])@(?!(?:everyone|here|channel|all)\b){LETTER}[\w.]{{1,31}}(?<!\.)"
    if inside:  # after a word or a comma: not the first word of a sentence
        yield rf"(?<=[\w,] )(?-i:{_any_of(inside, fold=False)})(?!{LETTER})"
    open_ended = [form for form in anywhere if _COMPACT.match(form[0]) or _COMPACT.match(form[-1])]
    bounded = sorted(set(anywhere) - set(open_ended))
    if open_ended:
        yield _any_of(open_ended)
    if bounded:
        yield rf"(?<!{LETTER}){_any_of(bounded)}(?!{LETTER})"


def _any_of(forms: list[str], *, fold: bool = True) -> str:
    """A pattern for any of the forms, the longest first, as a tree of characters: its cost does not grow with them."""
    return _tree(sorted({form.lower() if fold else form for form in forms}))


def _tree(forms: list[str]) -> str:
    branches, ends_here = [], False
    for head, group in groupby(forms, key=lambda form: form[:1]):
        if head:
            branches.append(re.escape(head) + _tree([form[1:] for form in group]))
        else:
            ends_here = True
    if not branches:
        return ""
    joined = f"(?:{'|'.join(branches)})" if len(branches) > 1 or ends_here else branches[0]
    return f"{joined}?" if ends_here else joined
