"""The gate of convert: a conversation passes languages and transforms and is written, or rows go with their reason."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from parley.conversation import Conversation, Dropped, to_sharegpt
from parley.conversion.languages import language_of
from parley.conversion.redaction import Redactor

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

Transform = Callable[[Conversation], list[Conversation]]
Origin = tuple[str, str]  # source and id of a row that came in


@dataclass(slots=True)
class Gate:
    """Where conversations and rejects go, and the counts of both."""

    add: Callable[[Mapping[str, Any]], None]
    reject: Callable[[Mapping[str, Any]], None]
    redactor: Redactor
    transforms: list[Transform]
    wanted: list[str]  # languages; none: all
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
            source, name = origin
            shown = name if name.isdecimal() else self.redactor.id(name)  # digits are a platform's own, and many
            where = {"source": self.redactor.label(source), "id": shown}
            self.reject({**where, "code": reason, "reason": REASONS.get(reason, reason)})

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
        if not self.wanted:
            return True
        language = language_of("\n".join(turn.text for turn in conversation.turns))
        self.languages[language or "unknown"] += 1
        return language in ("", *self.wanted)

    def _unique(self, name: str) -> str:
        """`name`, or `name~2` … when it is taken: every later stage finds a conversation by its id."""
        found, count = name, 1
        while found in self.ids:
            count += 1
            found = f"{name}~{count}"
        self.ids.add(found)
        return found


def nothing_left(gate: Gate) -> str:
    """The error when no conversation came gate."""
    if not gate.rows_in:
        return "data/interim holds no message and no conversation: look at metrics/ingest.json for what was dropped"
    reasons = ", ".join(f"{count} {REASONS.get(reason, reason)}" for reason, count in gate.dropped.most_common())
    # What came furthest says what to change: a conversation meets the languages first, then the transforms.
    if "transform" in gate.dropped or gate.dropped.keys() - REASONS.keys():
        advice = "change convert.transforms, or their options in section `transforms`"
    elif "language" in gate.dropped:
        advice = "add to convert.languages"
    elif gate.sessions:
        advice = "raise convert.session_gap_minutes, or name a more active convert.target"
    else:
        advice = "loosen the settings of `convert` that these reasons name"
    return f"no conversation left of {gate.rows_in} rows ({reasons}): {advice}; data/rejects/convert.jsonl lists them"
