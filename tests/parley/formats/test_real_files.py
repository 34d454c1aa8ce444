"""Other people's files: parsed exactly, or refused by name; never a traceback. Needs PARLEY_REAL_DATA."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from parley.conversation import Conversation, Message
from parley.errors import ParleyError
from parley.ingestion.inputs import format_of
from parley.ingestion.json_stream import Fault, JsonArray
from parley.ingestion.reading import Rejected, pieces_of
from parley.plugins import plugin, plugin_names
from stages.ingest import Ingest, Job, records

DATA = Path(os.environ.get("PARLEY_REAL_DATA", "missing"))
SETTINGS = Ingest(input="", files="*", format="auto", columns={}, date_order="auto")
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="PARLEY_REAL_DATA names no folder")


def files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((DATA / folder).rglob("*")) if path.is_file()]


@pytest.mark.parametrize(
    ("name", "format", "records"),
    [
        ("discord_dce/discord_export.json", "discord", 7),
        ("discord_dce_channel/channel.json", "discord", 200),
        ("sft_alpaca/alpaca_zh_demo.json", "alpaca", 300),
        ("sft_alpaca/identity.json", "alpaca", 91),
        ("sft_alpaca/instruct_tiny.json", "alpaca", 2),
        ("sft_broken/conversation.missingturns.json", "sharegpt", 1),
        ("sft_chat/chat_tiny.json", "sharegpt", 1),
        ("sft_openai_messages/toy_chat_fine_tuning.jsonl", "openai", 5),
        ("sft_openai_messages/v1_sft_demo.jsonl", "openai", 200),
        ("sft_sharegpt/conversation.json", "sharegpt", 1),
        ("sft_sharegpt/dummy_conversation.json", "sharegpt", 250),
        ("sft_sharegpt/glaive_toolcall_en_demo.json", "sharegpt", 150),
        ("turn_chat/turn_detector_demo.json", "sharegpt", 5),
        ("turn_dialogue/data_07.json", "taskmaster", 150),
        ("turn_dialogue/kdconv_film_dev.json", "kdconv", 100),
        ("turn_dialogue/sample.json", "taskmaster", 1),
        ("turn_eou/dev_set.json", "eou_labels", 30),
        ("turn_eou/regressions.jsonl", "eou_labels", 6),
        ("turn_eou/train_es_first12.jsonl", "eou_labels", 12),
    ],
)
def test_a_real_file_is_recognised_and_read_whole(name: str, format: str, records: int) -> None:
    assert format_of(DATA / name, name, "auto") == format
    found = list(plugin("formats", format, key="ingest.format").read(DATA / name, name))
    assert len(found) == records
    assert all(isinstance(record, Message | Conversation) for record in found)
    lines = (DATA / name).read_text(encoding="utf-8").split("\n")
    for record in found:
        assert "{" in lines[int(record.source.rpartition(":")[2]) - 1]


@pytest.mark.parametrize(
    "name",
    [
        *("discord_other/discord_candidates.json", "sft_broken/sft_sample.jsonl", "sft_preference/dpo_en_demo.json"),
        *("sft_chat/hh_rlhf_tiny.json", "persona_qa/extraversion.jsonl", "naughty_strings/blns.json"),
        *("encodings/iris-utf-16.json", "encodings/iris-utf-32.csv", "encodings/utf16.txt", "naughty_strings/blns.txt"),
    ],
)
def test_a_foreign_shape_is_refused_by_name(name: str) -> None:
    with pytest.raises(ParleyError, match=Path(name).name):
        format_of(DATA / name, name, "auto")


@pytest.mark.parametrize("format", plugin_names("formats"))
def test_torture_is_rejected_or_refused_whatever_reads_it(format: str) -> None:
    for path in files("json_torture", "encodings", "naughty_strings", "discord_other", "sft_broken"):
        try:
            for record in records(Job(Path(), path, path.name, format, SETTINGS)):
                if isinstance(record, Rejected):
                    assert record.code.startswith("E0")
                    assert record.source.startswith(f"{path.name}:")
        except ParleyError as error:
            assert path.name in str(error)


def decode(element: bytes, line: int, number: int) -> Any:
    return msgspec.json.decode(element)


def elements(path: Path, size: int) -> Any:
    array = JsonArray(pieces_of(path, size=size), key=None, where=str(path))
    found: list[Any] = []
    for part in array.batches(decode):
        found += [part] if isinstance(part, Fault) else part
    return found


@pytest.mark.parametrize("size", [4, 1000])
def test_every_valid_list_of_the_torture_suite_is_parsed_exactly(size: int) -> None:
    lists = [path for path in files("json_torture") if path.name.startswith("y_array")]
    assert len(lists) >= 5
    for path in lists:
        assert elements(path, size) == json.loads(path.read_bytes()), path.name


@pytest.mark.parametrize("size", [4, 1000])
def test_no_invalid_list_of_the_torture_suite_passes(size: int) -> None:
    for path in files("json_torture"):
        if path.name.startswith("n_") and path.read_bytes().lstrip().startswith(b"["):
            array = JsonArray(pieces_of(path, size=size), key=None, where=str(path))
            try:
                whole = not any(isinstance(part, Fault) for part in array.batches(decode))
            except ParleyError:
                continue
            assert not whole or array.interrupted, path.name
