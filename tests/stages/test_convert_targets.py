"""Who answers: targets and personas, and what is said where no conversation is left."""

from pathlib import Path

import pytest

from parley.conversation import Conversation, Turn
from parley.errors import ParleyError
from parley.files import read_json
from stages import convert
from tests.converted import ANA, BEN, BOT, CAT, TALK, made, rejects, said, workspace


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
