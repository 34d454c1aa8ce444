"""DiscordChatExporter's JSON: every kind of message, every drift of the format, every way it breaks."""

import json
from pathlib import Path
from typing import Any

import pytest

from parley.conversation import Message
from parley.errors import ParleyError
from parley.formats import discord
from parley.ingestion.reading import Notice, Rejected

ANN = {"id": "4", "name": "ann", "discriminator": "0000", "nickname": "Ann", "isBot": False}
BASE = {"id": "1322667734953099307", "type": "Default", "timestamp": "2024-12-28T20:49:21.991+00:00", "content": "hi"}


def export(tmp_path: Path, *messages: Any, cut: int | None = None, **header: Any) -> Path:
    """An export of the messages; each is changes to a plain one."""
    document = {
        "guild": {"id": "1", "name": "Test"},
        "channel": {"id": "9", "type": "GuildTextChat", "name": "general"},
        "exportedAt": "2025-02-09T11:08:07.2155277+00:00",
        **header,
        "messages": [{**BASE, "author": ANN, **one} if isinstance(one, dict) else one for one in messages],
        "messageCount": len(messages),
    }
    path = tmp_path / "general.json"
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False)[:cut], encoding="utf-8")
    return path


def read(path: Path) -> list[Message | Rejected | Notice]:
    assert discord.recognises(path.read_bytes()[: 1 << 16], path.name)
    return list(discord.read(path, path.name))


def only(tmp_path: Path, **changes: Any) -> Any:
    (record,) = read(export(tmp_path, changes))
    return record


def test_a_message_is_read_whole(tmp_path: Path) -> None:
    mentions = [{"id": "5", "name": "bob", "nickname": "Bob"}, {"id": None, "name": "gone"}]
    reference = {"messageId": "1322667731178225707", "channelId": "9"}
    assert only(tmp_path, type="Reply", mentions=mentions, reference=reference, content="hi <@5>") == Message(
        channel="9",
        id="1322667734953099307",
        time=1_735_418_961_991,
        author="4",
        names=("ann", "Ann"),
        text="hi <@5>",
        source="general.json:13",
        reply_to="1322667731178225707",
        mentioned={"5": ("bob", "Bob")},
        exported=1_739_099_287_215,
    )


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "message"),
        ({"type": "Reply"}, "message"),
        ({"type": "ChannelPinnedMessage", "content": "Pinned a message."}, "system:ChannelPinnedMessage"),
        ({"type": "21", "content": ""}, "system:21"),
        ({"type": "8"}, "system:8"),
        ({"type": "Ann said hi"}, "system:other"),
        ({"type": "20"}, "command"),
        ({"type": "Default", "interaction": {"id": "1", "name": "play"}}, "command"),
        ({"content": "", "attachments": [{"id": "1", "url": "x"}]}, "attachment"),
        ({"content": " \n", "stickers": [{"id": "1"}]}, "attachment"),
        ({"content": "look", "attachments": [{"id": "1"}]}, "message"),
        ({"content": "", "reference": {"type": "Forward", "messageId": "3"}}, "forward"),
        ({"content": "", "forwardedMessage": {"content": "said by another"}}, "forward"),
        ({"content": ""}, "empty"),
        ({"content": None}, "empty"),
    ],
)
def test_only_speech_has_the_kind_message(tmp_path: Path, changes: dict[str, Any], kind: str) -> None:
    assert only(tmp_path, **changes).kind == kind


def test_a_new_account_or_webhook_is_no_bot_for_its_discriminator(tmp_path: Path) -> None:
    assert not only(tmp_path, author={"id": "4", "name": "ann", "discriminator": "0000"}).bot
    assert not only(tmp_path, author={"id": "4", "name": "ann", "isBot": None}).bot
    assert only(tmp_path, author={"id": "4", "name": "ann", "isBot": True}).bot


@pytest.mark.parametrize(
    ("stamp", "time"),
    [
        ("2024-12-28T20:49:21.991+00:00", 1_735_418_961_991),
        ("2024-12-28T21:49:21.991+01:00", 1_735_418_961_991),
        ("2024-12-29T02:34:21.9919999+05:45", 1_735_418_961_991),
        ("2024-12-28T20:49:21Z", 1_735_418_961_000),
        (None, (1322667734953099307 >> 22) + 1_420_070_400_000),
        ("28/12/2024 20:49", (1322667734953099307 >> 22) + 1_420_070_400_000),
        ("2024-12-28T21:49:21.991", (1322667734953099307 >> 22) + 1_420_070_400_000),
    ],
)
def test_times_are_utc_whatever_zone_the_exporter_was_in(tmp_path: Path, stamp: str | None, time: int) -> None:
    assert only(tmp_path, timestamp=stamp).time == time


@pytest.mark.parametrize(
    ("author", "names"),
    [
        ({"id": "4", "name": "ann", "nickname": "ann"}, ("ann",)),
        ({"id": "4", "name": "ann"}, ("ann",)),
        ({"id": "4", "name": None, "nickname": "Ann"}, ("Ann",)),
        ({"id": "4"}, ()),
    ],
)
def test_names_are_all_that_the_export_shows(tmp_path: Path, author: Any, names: tuple[str, ...]) -> None:
    assert only(tmp_path, author=author).names == names


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"author": {"id": None, "name": "ann"}}, "E003"),
        ({"author": None}, "E005"),
        ({"id": 5}, "E005"),
        ({"content": ["Ann"]}, "E005"),
        ({"content": "a\0b"}, "E017"),
        ({"timestamp": None, "id": "7"}, "E003"),
    ],
)
def test_a_bad_message_is_rejected_with_its_line_and_the_others_are_read(
    tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    first, bad, last = read(export(tmp_path, {"id": "1"}, changes, {"id": "3"}))
    assert isinstance(first, Message)
    assert isinstance(last, Message)
    assert isinstance(bad, Rejected)
    assert (bad.code, first.source, bad.source) == (code, "general.json:13", "general.json:26")
    assert "ann" not in bad.reason.lower()


def test_an_element_that_is_no_message_is_rejected(tmp_path: Path) -> None:
    assert [type(one) for one in read(export(tmp_path, {}, 5, [], {}))] == [Message, Rejected, Rejected, Message]


def test_an_interrupted_export_gives_every_whole_message_and_a_notice(tmp_path: Path) -> None:
    text = export(tmp_path, {"id": "1"}, {"id": "2"}).read_text()
    for cut in range(text.rindex("    }") + 5, len(text)):
        *messages, notice = read(export(tmp_path, {"id": "1"}, {"id": "2"}, cut=cut))
        assert [one.id for one in messages if isinstance(one, Message)] == ["1", "2"]
        assert isinstance(notice, Notice)
    first, second, notice = read(export(tmp_path, {"id": "1"}, {"id": "2", "content": "x" * 200}, cut=len(text)))
    assert isinstance(first, Message)
    assert isinstance(second, Rejected)
    assert (second.code, second.source) == ("E001", "general.json:26")
    assert isinstance(notice, Notice)


def test_an_export_without_content_is_the_bots_missing_intent(tmp_path: Path) -> None:
    with pytest.raises(ParleyError, match=r"19 of 20 messages have no content.*MESSAGE CONTENT"):
        read(export(tmp_path, *[{"content": ""}] * 19, {}))
    bots = [{"content": "", "author": {**ANN, "isBot": True}}] * 30
    pictures = [{"content": "", "attachments": [{"id": "1"}]}] * 30
    read(export(tmp_path, *bots, *pictures, *[{"type": "7", "content": ""}] * 30, {}))


def test_a_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for document in ('{"messages": [{"role": "user"}]}', '{"guild": {"id": "1"}, "messages": []}', "[]", "{}"):
        path.write_text(document)
        assert not discord.recognises(document.encode(), path.name)
        with pytest.raises(ParleyError, match=r"x\.json"):
            list(discord.read(path, path.name))


def test_a_direct_message_and_a_thread_are_channels_too(tmp_path: Path) -> None:
    direct = {"guild": {"id": "0", "name": "Direct Messages"}, "channel": {"id": "7", "type": "DirectTextChat"}}
    assert [one.channel for one in read(export(tmp_path, {}, **direct)) if isinstance(one, Message)] == ["7"]
