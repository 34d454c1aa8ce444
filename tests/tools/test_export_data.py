"""What is written is read again as the same conversations, by parley's own formats."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.conversation import Conversation, ToolCall, Turn, to_sharegpt
from parley.errors import ParleyError
from parley.formats import alpaca, openai, sharegpt
from parley.jsonl import write_jsonl
from tools.export_data import export

TOOLS = json.dumps([{"name": "find", "parameters": {"type": "object", "properties": {}}}])
READERS = {"sharegpt": sharegpt, "openai": openai, "alpaca": alpaca}

text = st.text(alphabet="ab ü你\n<{\"'", min_size=1, max_size=12).filter(str.strip)
pair = st.builds(lambda asked, said: (Turn("user", asked), Turn("assistant", said)), text, text)
call = st.builds(lambda value: ToolCall("find", {"id": value, "n": [1, None]}), text)


@st.composite
def called(draw: st.DrawFn) -> tuple[Turn, ...]:
    calls = tuple(draw(st.lists(call, min_size=1, max_size=3)))
    answers = tuple(Turn("tool", draw(text)) for _ in calls)
    before = draw(st.sampled_from(["", "let me see", "<think>\nhm\n</think>"]))
    return (Turn("user", draw(text)), Turn("assistant", before, calls), *answers, Turn("assistant", draw(text)))


def folder(root: Path, talks: list[Conversation]) -> Path:
    for split in ("train", "val", "test"):
        write_jsonl(root / f"data/splits/{split}.jsonl", map(to_sharegpt, talks if split == "train" else []))
    return root


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=12)
@given(parts=st.lists(st.lists(st.one_of(pair, called()), min_size=1, max_size=3), min_size=1, max_size=4), system=text)
def test_write_and_read_gives_the_same_conversations(
    name: str, parts: list, system: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("export")
    talks = []
    for number, exchanges in enumerate(parts):
        turns = tuple(turn for exchange in exchanges for turn in exchange)
        tools = TOOLS if any(turn.calls for turn in turns) else ""
        talks.append(Conversation(f"c{number}", turns, system, tools, group=f"g{number}"))
    counts = export(folder(root, talks), name, root / "out")["train"]
    wanted = [talk for talk in talks if name != "alpaca" or not talk.tools]
    assert (counts["written"], counts["left_out"]) == (len(wanted), len(talks) - len(wanted))
    path = root / "out/train.jsonl"
    assert not wanted or READERS[name].recognises(path.read_bytes(), path.name)
    found = list(READERS[name].read(path, path.name)) if wanted else []
    assert [(talk.turns, talk.system, json.loads(talk.tools or "[]")) for talk in found] == [
        (talk.turns, talk.system, json.loads(talk.tools or "[]")) for talk in wanted
    ]


def test_one_answer_to_two_calls_is_left_out_of_openai(tmp_path: Path) -> None:
    calls = (ToolCall("find", {}), ToolCall("find", {}))
    turns = (Turn("user", "q"), Turn("assistant", "", calls), Turn("tool", "[1, 2]"), Turn("assistant", "a"))
    root = folder(tmp_path, [Conversation("c", turns, tools=TOOLS)])
    assert export(root, "openai", tmp_path / "out")["train"] == {"written": 0, "left_out": 1}


def test_other_files_of_the_folder_stay_and_a_wrong_format_or_place_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path, [])
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    export(root, "sharegpt", tmp_path / "out")
    assert (tmp_path / "out/mine.txt").read_text() == "mine"
    with pytest.raises(ParleyError, match=r"FORMAT='openia'.*openai"):
        export(root, "openia", tmp_path / "out")
    with pytest.raises(ParleyError, match="data/ is the pipeline's own"):
        export(root, "openai", tmp_path / "data/splits")
