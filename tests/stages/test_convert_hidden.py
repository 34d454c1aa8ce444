"""What convert hides: redaction, pseudonyms, opt-outs; and that every message is accounted for."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.conversation import Conversation, ToolCall, Turn
from parley.errors import ParleyError
from parley.files import read_json
from stages import convert
from tests.converted import ANA, ASKED, BEN, BOT, CAT, TALK, made, rejects, said, workspace


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


def test_a_name_on_the_opt_out_list_brings_the_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        ParleyError, match=rf"exclude_authors: 'Ana Ruiz' is a name, and names change; their id is '{ANA}'"
    ):
        convert.main(workspace(tmp_path, TALK, convert__exclude_authors=["Ana Ruiz"]))
    convert.main(workspace(tmp_path, TALK, convert__exclude_authors=["of another export"]))
    (said,) = capsys.readouterr().out.splitlines()
    assert "nobody here is 'of another export'" in said


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
