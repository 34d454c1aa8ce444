"""convert: messages → sessions → ShareGPT conversations; opt-out and redaction happen here.

in    data/interim/{messages,conversations}.jsonl
out   data/sharegpt/conversations.jsonl, data/rejects/convert.jsonl, metrics/convert.json
by    params `convert`, `redact`, `transforms`      run   python -m stages.convert

Everything before this stage is raw and private, everything after it is redacted. A message of the opt-out
list is counted, but no reject row tells of it.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
from pydantic import Field, create_model

from parley.cleaning import Policy, blocked, commands, tidy
from parley.conversation import Conversation, Dropped, Message, ToolCall, Turn, from_sharegpt, message_of, to_sharegpt
from parley.errors import ParleyError
from parley.jsonl import rows_into, rows_of
from parley.params import Section, read_section
from parley.people import People, meet, who_else, without_quotes
from parley.plugins import plugin, plugin_names
from parley.redaction import Redact, Redactor
from parley.sessions import Burst, bursts, sessions, turns, windows
from parley.stage import run, write_counts

MINUTE = 60_000  # milliseconds

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
    "transform": "a transform dropped the conversation",
}


class Convert(Section):
    """Section `convert`."""

    target: str
    exclude_authors: list[str]
    session_gap_minutes: int = Field(ge=1, le=10_080)
    merge_gap_minutes: int = Field(ge=0, le=1_440)
    reply_hours: int = Field(ge=0, le=168)
    command_prefixes: str
    emoji: Policy
    mentions: Policy
    block_words: list[str]
    max_chars: int = Field(ge=1)
    max_turns: int = Field(ge=2, le=200)
    min_reply_chars: int = Field(ge=1, le=100)
    system_prompt: str
    transforms: list[str]


# Section `transforms`: one part for each file in parley/transforms, typed by its `Params`.
_PARTS: dict[str, Any] = {
    name: (plugin("transforms", name, key="transforms").Params, ...) for name in plugin_names("transforms")
}
Transforms = create_model("Transforms", __base__=Section, **_PARTS)

Transform = Callable[[Conversation], list[Conversation]]
Origin = tuple[str, str]  # source and id of a row that came in


def main(root: Path) -> None:
    params = read_section(root, "convert", Convert)
    redact = read_section(root, "redact", Redact)
    transforms = chosen(params.transforms, read_section(root, "transforms", Transforms))
    messages = root / "data/interim/messages.jsonl"
    people = meet((message_of(row) for _, row in rows_of(messages)), opted_out=set(params.exclude_authors))
    check_target(params, people)
    redactor = Redactor(redact, people.names, opted_out=params.exclude_authors)
    with (
        rows_into(root / "data/sharegpt/conversations.jsonl") as add,
        rows_into(root / "data/rejects/convert.jsonl") as reject,
    ):
        out = Out(add, reject, redactor, transforms, params.system_prompt, blocked(params.block_words))
        for _, rows in groupby(rows_of(messages), key=lambda row: row[1]["channel"]):
            convert_channel((message_of(row) for _, row in rows), params, people, out)
        for _, row in rows_of(root / "data/interim/conversations.jsonl"):
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
    )


def chosen(names: list[str], sections: Section) -> list[Transform]:
    """The transforms of `names`, each with its options from the section `transforms`."""
    found: list[Transform] = []
    for name in names:
        module = plugin("transforms", name, key="convert.transforms")
        found.append(partial(module.apply, **getattr(sections, name).model_dump()))
    return found


def check_target(params: Convert, people: People) -> None:
    """Raises ParleyError if there are messages but none of the target's, or the target has opted out."""
    if params.target and params.target in params.exclude_authors:
        raise ParleyError(
            f"params.yaml: convert.target {params.target!r} is in convert.exclude_authors too: take it out of one"
        )
    if people.messages and params.target not in people.messages:
        raise ParleyError(f"params.yaml: convert.target: {who_else(params.target, people)}")


@dataclass(slots=True)
class Out:
    """Where conversations and rejects go, and the counts of both."""

    add: Callable[[Mapping[str, Any]], None]
    reject: Callable[[Mapping[str, Any]], None]
    redactor: Redactor
    transforms: list[Transform]
    system_prompt: str
    is_blocked: Callable[[str], bool]
    rows_in: int = 0
    rows_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    sessions: int = 0
    conversations: int = 0
    turns: int = 0
    ids: set[str] = field(default_factory=set)

    def drop(self, origin: Origin, reason: str) -> None:
        """Counts a row that goes no further; the reject row tells why, unless the author opted out."""
        self.dropped[reason] += 1
        if reason != "opted_out":
            source, name = self.redactor.label(origin[0]), origin[1]
            self.reject({"source": source, "id": name, "code": reason, "reason": REASONS.get(reason, reason)})

    def keep(self, conversation: Conversation, origins: list[Origin], *, others: str = "the user") -> None:
        """Gives the conversation its system prompt, sends it through the transforms and writes what comes out."""
        if not conversation.system:
            prompt = self.system_prompt.replace("{name}", conversation.author or "the assistant")
            conversation = replace(conversation, system=prompt.replace("{others}", others))
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
        if made:
            self.rows_out += len(origins)
        for origin in origins if not made else []:
            self.drop(origin, reason)

    def _unique(self, name: str) -> str:
        """`name`, or `name~2` … when it is taken: every later stage finds a conversation by its id."""
        found, count = name, 1
        while found in self.ids:
            count += 1
            found = f"{name}~{count}"
        self.ids.add(found)
        return found


def convert_channel(messages: Iterable[Message], params: Convert, people: People, out: Out) -> None:
    """Turns one channel's messages (in time order) into conversations that the target answers in."""
    speech = clean(messages, params, people, out)
    spans = {"gap": params.session_gap_minutes * MINUTE, "reply": params.reply_hours * 60 * MINUTE}
    for session in sessions(speech, **spans):
        out.sessions += 1
        parts = bursts(session, target=params.target, merge_gap=params.merge_gap_minutes * MINUTE)
        group = _session_id(session[0].message)

        def drop(burst: Burst, reason: str) -> None:
            for origin in _origins([burst]):
                out.drop(origin, reason)

        if not any(burst.answers for burst in parts):
            for burst in parts:
                drop(burst, "no_answer")
            continue
        stretches = windows(parts, max_turns=params.max_turns, min_reply=params.min_reply_chars, drop=drop)
        for number, window in enumerate(stretches, start=1):
            first = next(burst for burst in window if not burst.quoted).said[0].message
            conversation = Conversation(
                id=f"{group}-{number}",
                turns=turns(window, redact=out.redactor.text, name=out.redactor.name),
                group=group,
                time=first.time,
                source=out.redactor.label(first.source),
                author=out.redactor.name(params.target),
            )
            others = dict.fromkeys(out.redactor.name(burst.author) for burst in window if not burst.answers)
            out.keep(conversation, _origins(window), others=", ".join(others))


def clean(messages: Iterable[Message], params: Convert, people: People, out: Out) -> Iterator[Message]:
    """The messages that are people's speech; the others are dropped with their reason."""
    opted_out = set(params.exclude_authors)
    is_command = commands(params.command_prefixes)
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
            text = tidy(text, message.mentioned, emoji=params.emoji, mentions=params.mentions)
            reason = "" if text.strip() else "empty"
        if reason:
            out.drop((message.source, message.id), reason)
        else:
            yield message if text == message.text else msgspec.structs.replace(message, text=text)


def _origins(window: Iterable[Burst]) -> list[Origin]:
    return [(said.message.source, said.message.id) for burst in window if not burst.quoted for said in burst.said]


def _session_id(first: Message) -> str:
    """Stable while the session's first message is; hashed, since a private channel's id can be a person's."""
    channel = hashlib.sha256(first.channel.encode()).hexdigest()[:6]
    return f"{channel}-{hashlib.sha256(f'{first.channel} {first.id}'.encode()).hexdigest()[:12]}"


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
    made = replace(
        conversation,
        id=label(conversation.id),
        turns=tuple(_redacted(turn, out.redactor) for turn in conversation.turns),
        system=redact(conversation.system),
        tools=redact(conversation.tools),
        group=label(conversation.group),
        source=label(conversation.source),
        author=out.redactor.name(conversation.author) if conversation.author else "",
        labels={name: redact(text) for name, text in conversation.labels.items()},
    )
    out.keep(made, [origin])


def _redacted(turn: Turn, redactor: Redactor) -> Turn:
    calls = tuple(ToolCall(call.name, redactor.value(call.arguments)) for call in turn.calls)
    return replace(turn, text=redactor.text(turn.text), calls=calls)


def nothing_left(out: Out) -> str:
    """The error when no conversation came out."""
    if not out.rows_in:
        return "data/interim holds no message and no conversation: look at metrics/ingest.json for what was dropped"
    reasons = ", ".join(f"{count} {REASONS.get(reason, reason)}" for reason, count in out.dropped.most_common())
    return (
        f"no conversation left of {out.rows_in} rows ({reasons}): raise convert.session_gap_minutes, name a more "
        "active convert.target, or look at data/rejects/convert.jsonl"
    )


if __name__ == "__main__":
    run("convert", main)
