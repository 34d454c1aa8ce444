"""Messages in, redacted conversations out, and every message accounted for."""

import json
from collections import Counter
from pathlib import Path

import pytest

from parley.conversation import Conversation, Dropped, Turn, from_sharegpt
from parley.conversion.gate import REASONS
from parley.errors import ParleyError
from parley.files import read_json
from parley.jsonl import rows_of
from stages import convert
from tests.converted import ANA, ASKED, BEN, BOT, CAT, MINUTE, TALK, made, rejects, said, workspace


def test_a_session_becomes_a_conversation_with_the_target_as_assistant(tmp_path: Path) -> None:
    convert.main(workspace(tmp_path, TALK))
    (talk,) = made(tmp_path)
    assert talk.turns == (Turn("user", "hi Alexis"), Turn("assistant", "hello Robin"))
    assert (talk.author, talk.time, talk.source) == ("Alexis", 0, "Direct Messages - Robin.json:1")
    assert talk.id == f"{talk.group}-1"


def test_every_message_is_used_or_dropped_with_its_place_and_reason(tmp_path: Path) -> None:
    messages = [
        *TALK,
        said(3, BOT, "beep", bot=True),
        said(4, ANA, "Ana pinned a message.", kind="system:ChannelPinnedMessage"),
        said(5, ANA, "", kind="attachment"),
        said(6, ANA, " \n"),
        said(7, CAT, "!play jazz"),
        said(100, CAT, "is nobody here"),
        said(200, BEN, "I am"),
    ]
    convert.main(workspace(tmp_path, messages))
    counts = read_json(tmp_path / "metrics/convert.json")
    assert (counts["in"], counts["out"]) == (10, 2)
    expected = {
        "3": "trailing",
        "4": "bot",
        "5": "system",
        "6": "attachment",
        "7": "empty",
        "8": "command",
        "101": "no_answer",
        "201": "unprompted",
    }
    assert {row["source"].split(":")[1]: row["code"] for row in rejects(tmp_path)} == expected
    assert counts["dropped"] == Counter(expected.values())
    assert not any("Ana" in json.dumps(row) for row in rejects(tmp_path))
    assert all(row["reason"] == REASONS[row["code"]] for row in rejects(tmp_path))


def test_cleaning_drops_and_tidies_as_the_parameters_say(tmp_path: Path) -> None:
    messages = [
        said(0, ANA, "hi 👍 <@100000000000000002>"),
        said(1, BEN, "hello 👍"),
        said(2, ANA, "?play jazz"),
        said(3, ANA, "you FOOL"),
        said(4, ANA, "x" * 51),
        said(5, ANA, "👍"),
        said(6, ANA, "so"),
        said(7, BEN, "yes"),
    ]
    finished = [Conversation("row-1", (Turn("user", "fool"), Turn("assistant", "no")), source="rows.jsonl:1")]
    changes = {
        "command_prefixes": "?",
        "emoji": "remove",
        "mentions": "remove",
        "block_words": ["fool"],
        "max_chars": 50,
    }
    root = workspace(tmp_path, messages, finished, **{f"convert__{key}": value for key, value in changes.items()})
    convert.main(root)
    (talk,) = made(tmp_path)
    assert [turn.text for turn in talk.turns] == ["hi", "hello", "so", "yes"]
    dropped = {"command": 1, "blocked": 2, "too_long": 1, "empty": 1}
    assert read_json(tmp_path / "metrics/convert.json")["dropped"] == dropped


def test_channels_are_never_joined(tmp_path: Path) -> None:
    messages = [
        said(0, ANA, "hi"),
        said(1, BEN, "yes", channel="d"),
        said(2, ANA, "x", channel="e"),
        said(3, BEN, "yo", channel="e"),
    ]
    convert.main(workspace(tmp_path, messages))
    assert [[turn.text for turn in talk.turns] for talk in made(tmp_path)] == [["x", "yo"]]


def test_windows_of_a_session_share_its_group(tmp_path: Path) -> None:
    messages = [said(minute, (ANA, BEN)[minute % 2], f"text {minute}") for minute in range(8)]
    convert.main(workspace(tmp_path, messages, convert__max_turns=4))
    first, second = made(tmp_path)
    assert first.group == second.group and [talk.id for talk in (first, second)] == [
        f"{first.group}-{n}" for n in (1, 2)
    ]


def test_a_late_answer_has_its_question_again_and_keeps_its_own_time(tmp_path: Path) -> None:
    day = 2 * 24 * 60
    messages = [said(0, ANA, "where?"), said(day, ANA, "hello"), said(day + 1, BEN, "here", reply_to="0")]
    convert.main(workspace(tmp_path, messages))
    (talk,) = made(tmp_path)
    assert [turn.text for turn in talk.turns] == ["hello\nwhere?", "here"]
    assert talk.time == day * MINUTE
    assert read_json(tmp_path / "metrics/convert.json")["dropped"] == {"no_answer": 1}


def test_the_system_prompt_names_the_people_and_fills_only_gaps(tmp_path: Path) -> None:
    own = Conversation("r", ASKED, system="be kind", source="r:1")
    convert.main(workspace(tmp_path, TALK, [own], convert__system_prompt="You are {name}, with {others}."))
    assert [talk.system for talk in made(tmp_path)] == ["You are Alexis, with Robin.", "be kind"]


def test_other_languages_are_dropped_and_counted_and_short_talk_stays(tmp_path: Path) -> None:
    texts = {
        "en": ("when does the boat leave the harbour tomorrow?", "as soon as the tide is high enough"),
        "de": ("wann fährt das Schiff morgen aus dem Hafen?", "sobald das Wasser hoch genug steht"),
        "": ("ok", "haha"),
    }
    rows = [
        Conversation(key or "short", (Turn("user", ask), Turn("assistant", answer)), source=f"r:{number}")
        for number, (key, (ask, answer)) in enumerate(texts.items())
    ]
    convert.main(workspace(tmp_path, [], rows, convert__target="", convert__languages=["en"]))
    assert [talk.id for talk in made(tmp_path)] == ["en", "short"]
    counts = read_json(tmp_path / "metrics/convert.json")
    assert counts["languages"] == {"en": 1, "de": 1, "unknown": 1} and counts["dropped"] == {"language": 1}
    with pytest.raises(ParleyError, match=r"convert.languages: 'english' is no language"):
        convert.main(workspace(tmp_path, [], rows, convert__target="", convert__languages=["english"]))


def test_transforms_run_with_their_own_section(tmp_path: Path) -> None:
    changes = {"convert__transforms": ["set_system"], "transforms__set_system__text": "be brief"}
    convert.main(workspace(tmp_path, TALK, **changes))
    assert made(tmp_path)[0].system == "be brief"


@pytest.mark.parametrize("reason", ["transform", "no_placeholder"])
def test_what_a_transform_drops_is_counted_by_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    def refuse(talk: Conversation) -> list[Conversation]:
        if talk.source == "r:1" and reason != "transform":
            raise Dropped(reason)
        return [] if talk.source == "r:1" else [talk]

    monkeypatch.setattr(convert, "chosen", lambda names, sections: [refuse])
    convert.main(workspace(tmp_path, TALK, [Conversation("r", ASKED, source="r:1")]))
    assert read_json(tmp_path / "metrics/convert.json")["dropped"] == {"trailing": 1, reason: 1}


def test_an_unknown_transform_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParleyError, match=r"convert.transforms: no 'set_sistem'.*did you mean 'set_system'"):
        convert.main(workspace(tmp_path, TALK, convert__transforms=["set_sistem"]))


def test_a_long_finished_conversation_becomes_several_of_one_group(tmp_path: Path) -> None:
    turns = tuple(Turn("assistant" if n % 2 else "user", f"w{n}") for n in range(10))
    convert.main(workspace(tmp_path, [], [Conversation("r", turns, system="be kind")], convert__max_turns=4))
    talks = [from_sharegpt(row) for _, row in rows_of(tmp_path / "data/sharegpt/conversations.jsonl")]
    assert [(talk.id, talk.group, talk.system, len(talk.turns)) for talk in talks] == [
        (f"r-{n}", "r", "be kind", size) for n, size in ((1, 4), (2, 4), (3, 2))
    ]
    counts = read_json(tmp_path / "metrics/convert.json")
    assert (counts["in"], counts["out"], counts["conversations"]) == (1, 1, 3)
