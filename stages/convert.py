"""convert: messages → sessions → ShareGPT conversations; opt-out and redaction happen here.

in    data/interim/{messages,conversations}.jsonl
out   data/sharegpt/conversations.jsonl, data/rejects/convert.jsonl, metrics/convert.json
by    params `convert`, `redact`, `transforms`      run   python -m stages.convert

Everything before this stage is raw and private, everything after it is redacted. A message of the opt-out
list is counted, but no reject row tells of it.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BeforeValidator, Field, create_model

from parley.conversation import Conversation, Message, ToolCall, Turn, from_sharegpt, message_of
from parley.conversion.cleaning import Policy, blocked, commands, tidy
from parley.conversion.gate import Gate, Origin, Transform, nothing_left
from parley.conversion.languages import known_languages
from parley.conversion.people import People, meet, who_else, without_quotes
from parley.conversion.redaction import Redact, Redactor
from parley.conversion.sessions import Burst, Said, bursts, sessions, stretches, turns, windows
from parley.errors import ParleyError, near_misses
from parley.jsonl import rows_into, rows_of
from parley.params import Section, read_section
from parley.plugins import plugin, plugin_names
from parley.progress import lines_of, progress
from parley.stage import run, write_counts

MINUTE = 60_000  # milliseconds
PERSONAS = {"person": "", "contact": "{others}", "channel": "{channel}"}  # what tells a persona in the system prompt


def listed(given: Any) -> list[Any]:
    """Each of the targets once; none is "", which finished conversations need."""
    several = given if isinstance(given, list) else [given]
    return [one for place, one in enumerate(several) if one not in several[:place]] or [""]


class Convert(Section):
    """Section `convert`."""

    target: Annotated[list[str], BeforeValidator(listed)]
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
        gate = Gate(add, reject, redactor, transforms, params.languages, blocked(params.block_words))
        for _, rows in groupby(bar.over(rows_of(messages)), key=lambda row: row[1]["channel"]):
            convert_channel((message_of(row) for _, row in rows), params, people, gate)
        for _, row in bar.over(rows_of(finished)):
            import_conversation(from_sharegpt(row), params, gate)
    if not gate.conversations:
        raise ParleyError(nothing_left(gate))
    if any(params.target) and not people.messages:
        print("convert: convert.target is not used: the input holds finished conversations, no channel's messages")
    write_counts(
        root / "metrics/convert.json",
        rows_in=gate.rows_in,
        rows_out=gate.rows_out,
        dropped=gate.dropped,
        conversations=gate.conversations,
        turns=gate.turns,
        sessions=gate.sessions,
        people=len(people.names),
        redactions={kind: redactor.counts[kind] for kind in redactor.kinds},
        languages=dict(gate.languages),
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
    shown = {name: author for author, names in people.names.items() for name in names}
    for author in params.exclude_authors:
        if author in shown and author not in people.names:
            raise ParleyError(
                f"params.yaml: convert.exclude_authors: {author!r} is a name, and names change; "
                f"their id is {shown[author]!r}"
            )
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


def convert_channel(messages: Iterable[Message], params: Convert, people: People, gate: Gate) -> None:
    """Turns one channel's messages (in time order) into conversations that a target answers in.

    With several targets a session is told once for each of them; a message is dropped if none of these uses it.
    """
    speech = clean(messages, params, people, gate)
    spans = {"gap": params.session_gap_minutes * MINUTE, "reply": params.reply_hours * 60 * MINUTE}
    for session in sessions(speech, **spans):
        gate.sessions += 1
        why: dict[Origin, str] = {(said.message.source, said.message.id): "no_answer" for said in session}
        for target in params.target:
            if any(said.message.author == target for said in session):
                convert_session(session, target, params, gate, why)
        gate.rows_out += sum(not reason for reason in why.values())
        for origin, reason in why.items():
            if reason:
                gate.drop(origin, reason)


def convert_session(session: list[Said], target: str, params: Convert, gate: Gate, why: dict[Origin, str]) -> None:
    """Writes the conversations that the target answers in; `why` has for each message why it is unused, "" if used."""
    parts = bursts(session, target=target, merge_gap=params.merge_gap_minutes * MINUTE)

    def mark(burst: Burst, reason: str) -> None:
        for said in burst.said if not burst.quoted else ():
            origin = said.message.source, said.message.id
            why[origin] = why[origin] and reason  # another target's conversation may have used it

    found = windows(parts, max_turns=params.max_turns, min_reply=params.min_reply_chars, drop=mark)
    name = gate.redactor.name(target)
    channel, group = _session_id(session[0].message)
    for number, window in enumerate(found, start=1):
        first = next(burst for burst in window if not burst.quoted).said[0].message
        others = ", ".join(dict.fromkeys(gate.redactor.name(burst.author) for burst in window if not burst.answers))
        slots = {"{name}": name, "{others}": others, "{channel}": channel}
        persona = slots[PERSONAS[params.persona_by]] if params.persona_by != "person" else ""
        conversation = Conversation(
            id=f"{group}-{number}",
            turns=turns(window, redact=gate.redactor.text, name=gate.redactor.name),
            system=filled(params.system_prompt, slots),
            group=group,
            time=first.time,
            source=gate.redactor.label(first.source),
            author=name,
            labels={"persona": persona} if persona else {},
        )
        reason = gate.keep(conversation)
        for burst in window:
            mark(burst, reason)


def filled(prompt: str, slots: Mapping[str, str]) -> str:
    """The system prompt, its slots filled; what fills one is not looked at again."""
    return re.sub("|".join(map(re.escape, slots)), lambda match: slots[match[0]], prompt)


def clean(messages: Iterable[Message], params: Convert, people: People, gate: Gate) -> Iterator[Message]:
    """The messages that are people's speech; the others are dropped with their reason."""
    opted_out = set(params.exclude_authors)
    is_command = commands(params.command_prefixes)
    policies = {"emoji": params.emoji, "mentions": params.mentions, "links": params.links}
    for message in messages:
        gate.rows_in += 1
        text = without_quotes(message.text, people.unquotable) if people.unquotable else message.text
        if message.author in opted_out:
            reason = "opted_out"
        elif message.bot:
            reason = "bot"
        elif message.kind != "message":
            reason = message.kind.partition(":")[0]
        elif is_command(text):
            reason = "command"
        elif gate.is_blocked(text):
            reason = "blocked"
        elif len(text) > params.max_chars:
            reason = "too_long"
        else:
            text = tidy(text, message.mentioned, **policies)
            reason = "" if text.strip() else "empty"
        if reason:
            gate.drop((message.source, message.id), reason)
        else:
            yield message if text == message.text else msgspec.structs.replace(message, text=text)


def _session_id(first: Message) -> tuple[str, str]:
    """(channel, session): stable while the session's first message is; hashed, as a channel's id can be a person's."""
    channel = hashlib.sha256(first.channel.encode()).hexdigest()[:6]
    return channel, f"{channel}-{hashlib.sha256(f'{first.channel} {first.id}'.encode()).hexdigest()[:12]}"


def import_conversation(conversation: Conversation, params: Convert, gate: Gate) -> None:
    """Redacts a finished conversation and keeps it, unless its author has opted out."""
    gate.rows_in += 1
    redactor = gate.redactor
    redact, id = redactor.text, redactor.id(conversation.id)
    origin = (conversation.source, id)
    if conversation.author in params.exclude_authors:
        gate.drop(origin, "opted_out")
        return
    if any(gate.is_blocked(turn.text) for turn in conversation.turns):
        gate.drop(origin, "blocked")
        return
    name = redactor.name(conversation.author) if conversation.author else ""
    slots = {"{name}": name or "the assistant", "{others}": "the user", "{channel}": "this chat"}
    made = replace(
        conversation,
        id=id,
        turns=tuple(_redacted(turn, redactor) for turn in conversation.turns),
        system=redact(conversation.system) or filled(params.system_prompt, slots),
        tools=redact(conversation.tools),
        group=redactor.id(conversation.group),
        source=redactor.label(conversation.source),
        author=name,
        labels={name: redact(text) for name, text in conversation.labels.items()},
    )
    parts = list(stretches(made.turns, max_turns=params.max_turns))
    if len(parts) > 1:
        several = [replace(made, id=f"{id}-{n}", turns=part, group=made.group or id) for n, part in enumerate(parts, 1)]
    else:
        several = [made]
    reasons = [gate.keep(one) for one in several]
    if all(reasons):
        gate.drop(origin, reasons[0])
    else:
        gate.rows_out += 1


def _redacted(turn: Turn, redactor: Redactor) -> Turn:
    calls = tuple(ToolCall(call.name, redactor.value(call.arguments)) for call in turn.calls)
    return replace(turn, text=redactor.text(turn.text), calls=calls)


if __name__ == "__main__":
    run("convert", main)
