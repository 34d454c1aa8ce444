"""Messages in, redacted conversations out, and every message accounted for."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workspace import set_params

from parley.conversation import Conversation, Dropped, Message, ToolCall, Turn, from_sharegpt, to_sharegpt
from parley.conversion.gate import REASONS
from parley.errors import ParleyError
from parley.files import read_json
from parley.jsonl import rows_into, rows_of
from stages import convert

ANA, BEN, CAT, BOT = "100000000000000001", "100000000000000002", "100000000000000003", "100000000000000009"
NAMES = {ANA: ("ana", "Ana Ruiz"), BEN: ("Benedict",), CAT: ("Katarina",), BOT: ("Beeper",)}
MINUTE = 60_000


def said(minute: int, author: str, text: str, **more: Any) -> Message:
    """A message of channel "c" unless said otherwise; its id is its minute."""
    more = {"channel": "c", "id": str(minute), "source": f"Direct Messages - Ana.json:{minute + 1}"} | more
    return Message(time=minute * MINUTE, author=author, names=NAMES[author], text=text, **more)


def workspace(root: Path, messages: list[Message], finished: list[Conversation] = (), **changes: Any) -> Path:
    """A folder ready for convert; Ben is the target unless `changes` say otherwise."""
    set_params(root, **{"convert__target": BEN, **changes})
    with rows_into(root / "data/interim/messages.jsonl") as add:
        for message in messages:
            add(msgspec.to_builtins(message))
    with rows_into(root / "data/interim/conversations.jsonl") as add:
        for conversation in finished:
            add(to_sharegpt(conversation))
    return root


def made(root: Path) -> list[Conversation]:
    return [from_sharegpt(row) for _, row in rows_of(root / "data/sharegpt/conversations.jsonl")]


def rejects(root: Path) -> list[dict]:
    return [row for _, row in rows_of(root / "data/rejects/convert.jsonl")]


ASKED = (Turn("user", "q"), Turn("assistant", "a"))
TALK = [said(0, ANA, "hi Benedict"), said(1, BEN, "hello Ana"), said(2, ANA, "bye")]


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


def test_opting_out_removes_words_quotes_and_names(tmp_path: Path) -> None:
    messages = [
        said(0, CAT, "my secret is marmalade"),
        said(1, ANA, "> my secret is  Marmalade\nreally, Katarina?", reply_to="0"),
        said(2, BEN, "ask Katarina"),
        said(3, CAT, "marmalade", reply_to="2"),
        said(4, ANA, "hm"),
        said(5, BEN, "yes"),
    ]
    options = {"convert__exclude_authors": [CAT], "redact__kinds": ["emails"]}
    convert.main(workspace(tmp_path, messages, **options))
    (talk,) = made(tmp_path)
    assert [turn.text for turn in talk.turns] == ["really, <name>?", "ask <name>", "hm", "yes"]
    everything = b"".join(
        path.read_bytes()
        for folder in ("data/sharegpt", "data/rejects", "metrics")
        for path in (tmp_path / folder).iterdir()
    ).lower()
    assert b"marmalade" not in everything and b"katarina" not in everything and CAT.encode() not in everything
    assert read_json(tmp_path / "metrics/convert.json")["dropped"] == {"opted_out": 2}


def test_a_person_has_one_name_in_every_channel(tmp_path: Path) -> None:
    messages = [
        *(said(n, author, "ana said so", channel="c") for n, author in enumerate([ANA, CAT, BEN])),
        *(said(n, author, "it was Ana Ruiz", channel="d") for n, author in enumerate([CAT, BEN])),
    ]
    convert.main(workspace(tmp_path, messages))
    first, second = made(tmp_path)
    assert first.turns[0].text == "Robin: Robin said so\nAriel: Robin said so"
    assert second.turns[1].text == "it was Robin"


def test_a_late_answer_has_its_question_again_and_keeps_its_own_time(tmp_path: Path) -> None:
    day = 2 * 24 * 60
    messages = [said(0, ANA, "where?"), said(day, ANA, "hello"), said(day + 1, BEN, "here", reply_to="0")]
    convert.main(workspace(tmp_path, messages))
    (talk,) = made(tmp_path)
    assert [turn.text for turn in talk.turns] == ["hello\nwhere?", "here"]
    assert talk.time == day * MINUTE
    assert read_json(tmp_path / "metrics/convert.json")["dropped"] == {"no_answer": 1}


def test_finished_conversations_are_redacted_too(tmp_path: Path) -> None:
    call = ToolCall("mail", {"to": "ana@example.org"})
    turns = (
        Turn("user", "650-253-0000"),
        Turn("assistant", "", (call,)),
        Turn("tool", "ok"),
        Turn("assistant", "done"),
    )
    talk = Conversation("row-1", turns, system="write to a@example.org", group="row-1", source="rows.jsonl:1")
    convert.main(workspace(tmp_path, [], [talk, talk], convert__target=""))
    first, second = made(tmp_path)
    assert (first.turns[0].text, first.turns[1].calls[0].arguments) == ("<phone>", {"to": "<email>"})
    assert (first.system, first.source, first.author) == ("write to <email>", "rows.jsonl:1", "")
    assert (first.id, second.id) == ("row-1", "row-1~2")
    counts = read_json(tmp_path / "metrics/convert.json")["redactions"]
    assert {kind: count for kind, count in counts.items() if count} == {"emails": 4, "phones": 2}


def test_ids_are_redacted_whole_and_rows_of_other_ids_stay_apart(tmp_path: Path) -> None:
    ids = ["chat:ana@example.org", "6502530000", "6502530001", "whatsapp:+16502530000"]
    finished = [Conversation(id, ASKED, group=id, source=f"r:{n}") for n, id in enumerate(ids)]
    blocked = Conversation("bad:ana@example.org", (Turn("user", "fool"), ASKED[1]), source="r:9")
    mail = said(0, ANA, "", id="<1@mail.example.org>")
    convert.main(workspace(tmp_path, [mail, *TALK], [*finished, blocked], convert__block_words=["fool"]))
    shown = ["chat:<email>", "<phone>", "<phone>~2", "whatsapp:<phone>"]
    assert [(talk.id, talk.group) for talk in made(tmp_path)[1:]] == [(id, id) for id in shown]
    assert {row["id"] for row in rejects(tmp_path)} == {"<<email>>", "2", "bad:<email>"}


def test_the_system_prompt_names_the_people_and_fills_only_gaps(tmp_path: Path) -> None:
    own = Conversation("r", ASKED, system="be kind", source="r:1")
    convert.main(workspace(tmp_path, TALK, [own], convert__system_prompt="You are {name}, with {others}."))
    assert [talk.system for talk in made(tmp_path)] == ["You are Alexis, with Robin.", "be kind"]


def test_several_targets_answer_in_conversations_of_their_own(tmp_path: Path) -> None:
    messages = [said(0, ANA, "hi"), said(1, BEN, "yo"), said(2, CAT, "hm"), said(3, ANA, "so?"), said(9, BEN, "k")]
    convert.main(workspace(tmp_path, messages, convert__target=[BEN, CAT]))
    ben, cat = made(tmp_path)
    assert (ben.author, cat.author, ben.group) == ("Alexis", "Ariel", cat.group)
    assert ben.id != cat.id and [turn.role for turn in cat.turns] == ["user", "assistant"]
    assert [turn.text for turn in cat.turns] == ["Robin: hi\nAlexis: yo", "hm"]
    counts = read_json(tmp_path / "metrics/convert.json")
    assert (counts["in"], counts["out"], counts["conversations"]) == (5, 3, 2)
    before = (tmp_path / "data/sharegpt/conversations.jsonl").read_bytes()
    convert.main(workspace(tmp_path, messages, convert__target=[BEN, CAT, BEN]))
    assert (tmp_path / "data/sharegpt/conversations.jsonl").read_bytes() == before
    with pytest.raises(ParleyError, match=r"convert\.target: empty"):
        convert.main(workspace(tmp_path, messages, convert__target=[]))
    with pytest.raises(ParleyError, match="no message by '100000000000000009'"):
        convert.main(workspace(tmp_path, messages, convert__target=[BEN, BOT]))


def test_a_persona_is_told_in_the_prompt_and_in_a_label(tmp_path: Path) -> None:
    messages = [*TALK, said(100, CAT, "hi"), said(101, BEN, "dear", channel="c"), said(200, BEN, "x", channel="d")]
    prompt = {"convert__system_prompt": "You are {name} with {others}."}
    convert.main(workspace(tmp_path, messages, **prompt, convert__persona_by="contact"))
    assert [(talk.labels, talk.system) for talk in made(tmp_path)] == [
        ({"persona": "Robin"}, "You are Alexis with Robin."),
        ({"persona": "Ariel"}, "You are Alexis with Ariel."),
    ]
    with pytest.raises(ParleyError, match=r"persona_by is channel, so convert.system_prompt must say \{channel\}"):
        convert.main(workspace(tmp_path, messages, **prompt, convert__persona_by="channel"))
    options = {"convert__system_prompt": "In {channel}.", "convert__persona_by": "channel"}
    convert.main(workspace(tmp_path, messages, **options))
    first, _ = made(tmp_path)
    assert first.system == f"In {first.labels['persona']}." and first.group.startswith(first.labels["persona"])


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


@pytest.mark.parametrize(
    ("target", "hint"),
    [("100000000000000004", "nearest: 10000000000000000"), ("", "target: empty"), (BOT, "no message by")],
)
def test_a_target_who_is_not_there_brings_the_ids_that_are(tmp_path: Path, target: str, hint: str) -> None:
    messages = [*TALK, said(3, BOT, "beep", bot=True)]
    with pytest.raises(ParleyError) as raised:
        convert.main(workspace(tmp_path, messages, convert__target=target))
    text = str(raised.value)
    assert hint in text and f"most active: {ANA} (2 messages), {BEN} (1 messages)" in text
    assert "Ana" not in text and not (tmp_path / "data/sharegpt").exists()


def test_a_target_on_the_opt_out_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParleyError, match=r"is in convert\.exclude_authors too"):
        convert.main(workspace(tmp_path, TALK, convert__exclude_authors=[BEN]))


def test_a_target_that_finds_no_message_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk = Conversation("x", (Turn("user", "hi"), Turn("assistant", "hello")), source="a.jsonl:1")
    convert.main(workspace(tmp_path, [], [talk]))
    assert "convert.target is not used" in capsys.readouterr().out
    convert.main(workspace(tmp_path, TALK, [talk]))
    convert.main(workspace(tmp_path, [], [talk], convert__target=""))
    assert "convert.target" not in capsys.readouterr().out


def test_a_long_finished_conversation_becomes_several_of_one_group(tmp_path: Path) -> None:
    turns = tuple(Turn("assistant" if n % 2 else "user", f"w{n}") for n in range(10))
    convert.main(workspace(tmp_path, [], [Conversation("r", turns, system="be kind")], convert__max_turns=4))
    talks = [from_sharegpt(row) for _, row in rows_of(tmp_path / "data/sharegpt/conversations.jsonl")]
    assert [(talk.id, talk.group, talk.system, len(talk.turns)) for talk in talks] == [
        (f"r-{n}", "r", "be kind", size) for n, size in ((1, 4), (2, 4), (3, 2))
    ]
    counts = read_json(tmp_path / "metrics/convert.json")
    assert (counts["in"], counts["out"], counts["conversations"]) == (1, 1, 3)


def test_a_name_on_the_opt_out_list_brings_the_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        ParleyError, match=rf"exclude_authors: 'Ana Ruiz' is a name, and names change; their id is '{ANA}'"
    ):
        convert.main(workspace(tmp_path, TALK, convert__exclude_authors=["Ana Ruiz"]))
    convert.main(workspace(tmp_path, TALK, convert__exclude_authors=["of another export"]))
    (said,) = capsys.readouterr().out.splitlines()
    assert "nobody here is 'of another export'" in said


def test_no_conversation_left_says_where_the_messages_went(tmp_path: Path) -> None:
    messages = [said(0, BEN, "anybody?"), said(100, ANA, "hi")]
    with pytest.raises(ParleyError, match="no conversation left of 2 rows") as raised:
        convert.main(workspace(tmp_path, messages))
    assert "1 the target says nothing in this session" in str(raised.value)
    assert "raise convert.session_gap_minutes" in str(raised.value)
    assert len(rejects(tmp_path)) == 2


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"convert__transforms": ["trigger"]}, "change convert.transforms"),
        ({"convert__languages": ["zh"]}, "add to convert.languages"),
        ({"convert__max_chars": 1}, "loosen the settings of `convert`"),
    ],
)
def test_no_conversation_left_names_the_setting_that_drops(tmp_path: Path, changes: dict, advice: str) -> None:
    german = [said(0, ANA, "Wann fährt das Schiff morgen früh ab?"), said(1, BEN, "Um sieben, wenn das Wetter hält.")]
    with pytest.raises(ParleyError, match=advice) as raised:
        convert.main(workspace(tmp_path, german, **changes))
    assert "session_gap" not in str(raised.value)


def test_nothing_to_read_points_at_ingest(tmp_path: Path) -> None:
    with pytest.raises(ParleyError, match=r"metrics/ingest.json"):
        convert.main(workspace(tmp_path, [], convert__target=""))


steps = st.lists(
    st.tuples(
        st.sampled_from("cd"),
        st.integers(0, 50),
        st.sampled_from([ANA, BEN, BEN, CAT, BOT]),
        st.sampled_from(["hi Ana", "k", "", "mail katarina@example.org", "!help me", "call 650-253-0000"]),
        st.integers(0, 9),
    ),
    max_size=30,
)


@settings(max_examples=40)
@given(steps=steps, max_turns=st.integers(2, 6), merge=st.integers(0, 60))
def test_counts_add_up_and_nothing_planted_is_left(
    steps: list, max_turns: int, merge: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    clock, messages = 0, [said(0, ANA, "start", channel="b"), said(1, BEN, "go", channel="b")]
    for channel, wait, author, text, back in sorted(steps, key=lambda step: step[0]):
        clock += wait
        number = len(messages)
        messages.append(
            said(clock, author, text, channel=channel, id=str(number), reply_to=str(number - back), bot=author == BOT)
        )
    root = tmp_path_factory.mktemp("convert")
    convert.main(workspace(root, messages, convert__max_turns=max_turns, convert__merge_gap_minutes=merge))
    counts = read_json(root / "metrics/convert.json")
    assert counts["in"] == len(messages) == counts["out"] + len(rejects(root))
    assert counts["dropped"] == Counter(row["code"] for row in rejects(root))
    talks = made(root)
    assert sum(turn.text.count("\n") + 1 for talk in talks for turn in talk.turns) >= counts["out"]
    assert all(len(talk.turns) <= max_turns and talk.turns[-1].role == "assistant" for talk in talks)
    written = (root / "data/sharegpt/conversations.jsonl").read_text().casefold()
    assert not [planted for planted in ("ana", "katarina", "benedict", "example.org", "650-253") if planted in written]


def test_labels_go_through_redacted(tmp_path: Path) -> None:
    own = Conversation("r", ASKED, labels={"by": "ann@example.org", "lang": "en"})
    convert.main(workspace(tmp_path, TALK, [own]))
    assert made(tmp_path)[1].labels == {"by": "<email>", "lang": "en"}
