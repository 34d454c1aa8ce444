"""convert: messages → sessions → ShareGPT conversations; opt-out and redaction happen here.

in    data/interim/{messages,conversations}.jsonl
out   data/sharegpt/conversations.jsonl, data/rejects/convert.jsonl, metrics/convert.json
by    params `convert`, `redact`, `transforms`      run   python -m stages.convert

Everything before this stage is raw and private, everything after it is redacted. A message of the opt-out
list is counted, but no reject row tells of it.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BeforeValidator, Field, create_model

from parley.cleaning import Policy, blocked, commands, tidy
from parley.conversation import Conversation, Dropped, Message, ToolCall, Turn, from_sharegpt, message_of, to_sharegpt
from parley.errors import ParleyError, near_misses
from parley.jsonl import rows_into, rows_of
from parley.languages import known_languages, language_of
from parley.params import Section, read_section
from parley.people import People, meet, who_else, without_quotes
from parley.plugins import plugin, plugin_names
from parley.progress import lines_of, progress
from parley.redaction import Redact, Redactor
from parley.sessions import Burst, Said, bursts, sessions, turns, windows
from parley.stage import run, write_counts

MINUTE = 60_000  # milliseconds
PERSONAS = {"person": "", "contact": "{others}", "channel": "{channel}"}  # what tells a persona in the system prompt

REASONS = {
    "bot": "written by a bot",
    "system": "written by the chat program",
    "attachment": "an attachment without words",
    "command": "a command to a bot",
    "own": "from a data package, which holds its owner's messages only",
    "forward": "a forwarded message, which is somebody else's",
    "empty": "no text",
    "blocked": "a word of convert.block_words",
    "too_long": "longer than convert.max_chars",
    "opted_out": "on the opt-out list",
    "no_answer": "the target says nothing in this session",
    "unprompted": "the target speaks with nothing before it to answer",
    "too_far": "more than convert.max_turns turns before an answer",
    "short_answer": "an answer shorter than convert.min_reply_chars that no other follows",
    "trailing": "nothing follows that the target answers",
    "language": "not in one of convert.languages",
    "transform": "a transform dropped the conversation",
}


class Convert(Section):
    """Section `convert`."""

    target: Annotated[list[str], BeforeValidator(lambda given: given if isinstance(given, list) else [given])]
    persona_by: Literal["person", "contact", "channel"]
    exclude_authors: list[str]
    session_gap_minutes: int = Field(ge=1, le=10_080)
    merge_gap_minutes: int = Field(ge=0, le=1_440)
    reply_hours: int = Field(ge=0, le=168)
    command_prefixes: str
    emoji: Policy
    mentions: Policy
    links: Policy
    languages: list[str]
    block_words: list[str]
    max_chars: int = Field(ge=1)
    max_turns: int = Field(ge=2, le=200)
    min_reply_chars: int = Field(ge=1, le=100)
    system_prompt: str
    transforms: list[str]


# Section `transforms`: one part for each file in parley/transforms that has `Params`.
_MODULES = {name: plugin("transforms", name, key="transforms") for name in plugin_names("transforms")}
_PARTS: dict[str, Any] = {name: (found.Params, ...) for name, found in _MODULES.items() if hasattr(found, "Params")}
Transforms = create_model("Transforms", __base__=Section, **_PARTS)

Transform = Callable[[Conversation], list[Conversation]]
Origin = tuple[str, str]  # source and id of a row that came in


def main(root: Path) -> None:
    params = read_section(root, "convert", Convert)
    redact = read_section(root, "redact", Redact)
    transforms = chosen(params.transforms, read_section(root, "transforms", Transforms))
    messages = root / "data/interim/messages.jsonl"
    finished = root / "data/interim/conversations.jsonl"
    people = meet((message_of(row) for _, row in rows_of(messages)), opted_out=set(params.exclude_authors))
    check(params, people)
    redactor = Redactor(redact, people.names, opted_out=params.exclude_authors)
    with (
        rows_into(root / "data/sharegpt/conversations.jsonl") as add,
        rows_into(root / "data/rejects/convert.jsonl") as reject,
        progress("convert", lines_of(messages, finished), "rows") as bar,
    ):
        out = Out(add, reject, redactor, transforms, params, blocked(params.block_words))
        for _, rows in groupby(bar.over(rows_of(messages)), key=lambda row: row[1]["channel"]):
            convert_channel((message_of(row) for _, row in rows), params, people, out)
        for _, row in bar.over(rows_of(finished)):
            import_conversation(from_sharegpt(row), params, out)
    if not out.conversations:
        raise ParleyError(nothing_left(out))
    write_counts(
        root / "metrics/convert.json",
        rows_in=out.rows_in,
        rows_out=out.rows_out,
        dropped=out.dropped,
        conversations=out.conversations,
        turns=out.turns,
        sessions=out.sessions,
        people=len(people.names),
        redactions={kind: redactor.counts[kind] for kind in redactor.kinds},
        languages=dict(out.languages),
    )


def chosen(names: list[str], sections: Section) -> list[Transform]:
    """The transforms of `names`, each with its options from the section `transforms`."""
    found: list[Transform] = []
    for name in names:
        module = plugin("transforms", name, key="convert.transforms")
        options = getattr(sections, name).model_dump() if hasattr(module, "Params") else {}
        found.append(partial(module.apply, **options))
    return found


def check(params: Convert, people: People) -> None:
    """Raises ParleyError if there are messages but none of a target's, or settings that can't go together."""
    for target in filter(None, params.target):
        if target in params.exclude_authors:
            raise ParleyError(
                f"params.yaml: convert.target {target!r} is in convert.exclude_authors too: take it out of one"
            )
    for target in params.target if people.messages else ():
        if target not in people.messages:
            raise ParleyError(f"params.yaml: convert.target: {who_else(target, people)}")
    slot = PERSONAS[params.persona_by]
    if slot not in params.system_prompt:
        raise ParleyError(
            f"params.yaml: convert.persona_by is {params.persona_by}, so convert.system_prompt must say {slot}: "
            "without it the model can't tell which persona to be"
        )
    for language in params.languages:
        if language not in (known := known_languages()):
            raise ParleyError(
                f"params.yaml: convert.languages: {language!r} is no language that can be told"
                f"{near_misses(language, known)}; two letters such as en, de or zh"
            )


@dataclass(slots=True)
class Out:
    """Where conversations and rejects go, and the counts of both."""

    add: Callable[[Mapping[str, Any]], None]
    reject: Callable[[Mapping[str, Any]], None]
    redactor: Redactor
    transforms: list[Transform]
    params: Convert
    is_blocked: Callable[[str], bool]
    rows_in: int = 0
    rows_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    sessions: int = 0
    conversations: int = 0
    turns: int = 0
    languages: Counter[str] = field(default_factory=Counter)
    ids: set[str] = field(default_factory=set)

    def drop(self, origin: Origin, reason: str) -> None:
        """Counts a row that goes no further; the reject row tells why, unless the author opted out."""
        self.dropped[reason] += 1
        if reason != "opted_out":
            source, name = self.redactor.label(origin[0]), origin[1]
            self.reject({"source": source, "id": name, "code": reason, "reason": REASONS.get(reason, reason)})

    def keep(self, conversation: Conversation) -> str:
        """Sends a conversation through filter and transforms and writes what comes out; why nothing did, or ""."""
        if not self._is_understood(conversation):
            return "language"
        made, reason = [conversation], "transform"
        for transform in self.transforms:
            before, made = made, []
            for one in before:
                try:
                    made += transform(one)
                except Dropped as dropped:
                    reason = dropped.reason
        for one in made:
            self.add(to_sharegpt(replace(one, id=self._unique(one.id))))
            self.conversations += 1
            self.turns += len(one.turns)
        return "" if made else reason

    def _is_understood(self, conversation: Conversation) -> bool:
        """Whether it is in one of convert.languages, counted; or too short to tell, or all languages are wanted."""
        if not self.params.languages:
            return True
        language = language_of("\n".join(turn.text for turn in conversation.turns))
        self.languages[language or "unknown"] += 1
        return language in ("", *self.params.languages)

    def _unique(self, name: str) -> str:
        """`name`, or `name~2` … when it is taken: every later stage finds a conversation by its id."""
        found, count = name, 1
        while found in self.ids:
            count += 1
            found = f"{name}~{count}"
        self.ids.add(found)
        return found


def convert_channel(messages: Iterable[Message], params: Convert, people: People, out: Out) -> None:
    """Turns one channel's messages (in time order) into conversations that a target answers in.

    With several targets a session is told once for each of them; a message is dropped if none of these uses it.
    """
    speech = clean(messages, params, people, out)
    spans = {"gap": params.session_gap_minutes * MINUTE, "reply": params.reply_hours * 60 * MINUTE}
    for session in sessions(speech, **spans):
        out.sessions += 1
        why: dict[Origin, str] = {(said.message.source, said.message.id): "no_answer" for said in session}
        for target in params.target:
            if any(said.message.author == target for said in session):
                convert_session(session, target, params, out, why)
        out.rows_out += sum(not reason for reason in why.values())
        for origin, reason in why.items():
            if reason:
                out.drop(origin, reason)


def convert_session(session: list[Said], target: str, params: Convert, out: Out, why: dict[Origin, str]) -> None:
    """Writes the conversations that the target answers in; `why` has for each message why it is unused, "" if used."""
    parts = bursts(session, target=target, merge_gap=params.merge_gap_minutes * MINUTE)

    def mark(burst: Burst, reason: str) -> None:
        for said in burst.said if not burst.quoted else ():
            origin = said.message.source, said.message.id
            why[origin] = why[origin] and reason  # another target's conversation may have used it

    stretches = windows(parts, max_turns=params.max_turns, min_reply=params.min_reply_chars, drop=mark)
    name = out.redactor.name(target)
    channel, group = _session_id(session[0].message)
    for number, window in enumerate(stretches, start=1):
        first = next(burst for burst in window if not burst.quoted).said[0].message
        others = ", ".join(dict.fromkeys(out.redactor.name(burst.author) for burst in window if not burst.answers))
        slots = {"{name}": name, "{others}": others, "{channel}": channel}
        persona = slots[PERSONAS[params.persona_by]] if params.persona_by != "person" else ""
        conversation = Conversation(
            id=f"{group}-{number}",
            turns=turns(window, redact=out.redactor.text, name=out.redactor.name),
            system=filled(params.system_prompt, slots),
            group=group,
            time=first.time,
            source=out.redactor.label(first.source),
            author=name,
            labels={"persona": persona} if persona else {},
        )
        reason = out.keep(conversation)
        for burst in window:
            mark(burst, reason)


def filled(prompt: str, slots: Mapping[str, str]) -> str:
    """The system prompt, its slots filled; what fills one is not looked at again."""
    return re.sub("|".join(map(re.escape, slots)), lambda match: slots[match[0]], prompt)


def clean(messages: Iterable[Message], params: Convert, people: People, out: Out) -> Iterator[Message]:
    """The messages that are people's speech; the others are dropped with their reason."""
    opted_out = set(params.exclude_authors)
    is_command = commands(params.command_prefixes)
    policies = {"emoji": params.emoji, "mentions": params.mentions, "links": params.links}
    for message in messages:
        out.rows_in += 1
        text = without_quotes(message.text, people.unquotable) if people.unquotable else message.text
        if message.author in opted_out:
            reason = "opted_out"
        elif message.bot:
            reason = "bot"
        elif message.kind != "message":
            reason = message.kind.partition(":")[0]
        elif is_command(text):
            reason = "command"
        elif out.is_blocked(text):
            reason = "blocked"
        elif len(text) > params.max_chars:
            reason = "too_long"
        else:
            text = tidy(text, message.mentioned, **policies)
            reason = "" if text.strip() else "empty"
        if reason:
            out.drop((message.source, message.id), reason)
        else:
            yield message if text == message.text else msgspec.structs.replace(message, text=text)


def _session_id(first: Message) -> tuple[str, str]:
    """(channel, session): stable while the session's first message is; hashed, as a channel's id can be a person's."""
    channel = hashlib.sha256(first.channel.encode()).hexdigest()[:6]
    return channel, f"{channel}-{hashlib.sha256(f'{first.channel} {first.id}'.encode()).hexdigest()[:12]}"


def import_conversation(conversation: Conversation, params: Convert, out: Out) -> None:
    """Redacts a finished conversation and keeps it, unless its author has opted out."""
    out.rows_in += 1
    redact, label = out.redactor.text, out.redactor.label
    origin = (conversation.source, label(conversation.id))
    if conversation.author in params.exclude_authors:
        out.drop(origin, "opted_out")
        return
    if any(out.is_blocked(turn.text) for turn in conversation.turns):
        out.drop(origin, "blocked")
        return
    name = out.redactor.name(conversation.author) if conversation.author else ""
    slots = {"{name}": name or "the assistant", "{others}": "the user", "{channel}": "this chat"}
    made = replace(
        conversation,
        id=label(conversation.id),
        turns=tuple(_redacted(turn, out.redactor) for turn in conversation.turns),
        system=redact(conversation.system) or filled(params.system_prompt, slots),
        tools=redact(conversation.tools),
        group=label(conversation.group),
        source=label(conversation.source),
        author=name,
        labels={name: redact(text) for name, text in conversation.labels.items()},
    )
    if reason := out.keep(made):
        out.drop(origin, reason)
    else:
        out.rows_out += 1


def _redacted(turn: Turn, redactor: Redactor) -> Turn:
    calls = tuple(ToolCall(call.name, redactor.value(call.arguments)) for call in turn.calls)
    return replace(turn, text=redactor.text(turn.text), calls=calls)


def nothing_left(out: Out) -> str:
    """The error when no conversation came out."""
    if not out.rows_in:
        return "data/interim holds no message and no conversation: look at metrics/ingest.json for what was dropped"
    reasons = ", ".join(f"{count} {REASONS.get(reason, reason)}" for reason, count in out.dropped.most_common())
    # What came furthest says what to change: a conversation meets the languages first, then the transforms.
    if "transform" in out.dropped or out.dropped.keys() - REASONS.keys():
        advice = "change convert.transforms, or their options in section `transforms`"
    elif "language" in out.dropped:
        advice = "add to convert.languages"
    elif out.sessions:
        advice = "raise convert.session_gap_minutes, or name a more active convert.target"
    else:
        advice = "loosen the settings of `convert` that these reasons name"
    return f"no conversation left of {out.rows_in} rows ({reasons}): {advice}; data/rejects/convert.jsonl lists them"


if __name__ == "__main__":
    run("convert", main)
