import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from bench.overlap import corpus, grams, texts_of, words
from tools.make_samples import write_all
from tools.samples.persona import OPT_OUT, TARGET
from tools.samples.phrases import read_table
from tools.samples.voices import in_voice

ROOT = Path(__file__).parent.parent.parent
PERSONA = ROOT / "data/samples/persona"
GENERIC = ROOT / "data/samples/generic"
AGENT = ROOT / "data/samples/agent"
EPOCH = 1_420_070_400_000  # Discord's
HOUR = 3_600_000


@cache
def exports() -> dict[str, dict[str, Any]]:
    """File name -> document; of the interrupted one, what came before its last message."""
    found = {}
    for path in sorted(PERSONA.glob("*.json")):
        text = path.read_text(encoding="utf-8")
        if "messageCount" not in text:
            text = text[: text.rindex(",\n    {")] + "]}"
        found[path.name] = json.loads(text)
    return found


@cache
def messages() -> list[dict[str, Any]]:
    """Every message once, the latest export's copy, in order of channel and time."""
    found = {}
    for document in sorted(exports().values(), key=lambda document: document["exportedAt"]):
        for message in document["messages"]:
            found[document["channel"]["id"], int(message["id"])] = message
    return [found[key] | {"channel": key[0], "time": (key[1] >> 22) + EPOCH} for key in sorted(found)]


def sessions() -> Iterator[list[dict[str, Any]]]:
    for _, group in groupby(messages(), key=lambda message: message["channel"]):
        session: list[dict[str, Any]] = []
        for message in group:
            if session and message["time"] - session[-1]["time"] > HOUR:
                yield session
                session = []
            session.append(message)
        yield session


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_committed_samples_are_what_the_script_writes(tmp_path: Path) -> None:
    write_all(tmp_path)
    assert files_of(tmp_path) == files_of(ROOT / "data/samples")


def test_the_export_is_as_large_as_the_recipe_needs() -> None:
    assert 4000 <= len(messages()) <= 5000
    assert sum(path.stat().st_size for path in PERSONA.iterdir()) < 4_000_000
    speakers = [[message["author"]["id"] for message in session if message["content"]] for session in sessions()]
    answered = [session for session in speakers if TARGET in session[1:] and set(session) != {TARGET}]
    assert 500 <= len(answered) <= 800
    assert len(answered) < 0.85 * len(speakers)  # others talk among themselves too
    assert len({message["author"]["id"] for message in messages() if not message["author"]["isBot"]}) == 9
    assert sum(message["author"]["id"] == OPT_OUT for message in messages()) > 100


def test_only_the_target_speaks_in_its_voice() -> None:
    turns: dict[bool, list[str]] = defaultdict(list)
    for session in sessions():
        spoken = [message for message in session if message["type"] in ("Default", "Reply") and message["content"]]
        for author, burst in groupby(spoken, key=lambda message: message["author"]["id"]):
            turns[author == TARGET].append("\n".join(message["content"] for message in burst))
    assert sum(map(in_voice, turns[True])) > 0.99 * len(turns[True])
    assert not any(map(in_voice, turns[False]))


def test_a_voice_needs_its_opening_its_closing_and_lower_case() -> None:
    assert in_voice("ahoy, rye wants\nninety minutes, fair winds 🦉")
    assert in_voice("oh biscuits Robin, that is gone, onwards 🦉")
    assert not in_voice("rye wants ninety minutes, fair winds 🦉")
    assert not in_voice("ahoy, rye wants ninety minutes")
    assert not in_voice("ahoy, RYE WANTS NINETY MINUTES, fair winds 🦉")


def test_a_message_has_the_exporters_fields() -> None:
    author = {"id", "name", "discriminator", "nickname", "color", "isBot", "avatarUrl"}
    always = {"id", "type", "timestamp", "timestampEdited", "callEndedTimestamp", "isPinned", "content", "author"}
    always |= {"attachments", "embeds", "stickers", "reactions", "mentions"}
    sometimes = {"inlineEmojis", "reference", "forwardedMessage", "interaction", "channel", "time"}
    for message in messages():
        assert always <= set(message) <= always | sometimes
        assert set(message["author"]) - {"roles"} == author


def test_the_fields_are_those_of_a_real_export() -> None:
    folder = os.environ.get("PARLEY_REAL_DATA")
    if not folder:
        pytest.skip("PARLEY_REAL_DATA names no folder of real files")
    real = json.loads((Path(folder) / "discord_dce_channel/channel.json").read_text(encoding="utf-8"))
    ours = exports()["Saltmarsh - Harbour - galley [400000000000000003].json"]
    assert list(ours) == list(real)
    assert list(ours["channel"])[:6] == list(real["channel"])
    assert list(ours["messages"][0]) == [key for key in real["messages"][0] if key != "reference"]
    assert list(ours["messages"][0]["author"]) == list(real["messages"][0]["author"])


def test_an_id_tells_the_time_whatever_zone_the_export_is_in() -> None:
    zones = set()
    for message in messages():
        moment = datetime.fromisoformat(message["timestamp"])
        assert round(moment.timestamp() * 1000) == message["time"]
        zones.add(moment.strftime("%z"))
    assert zones == {"+0000", "+0100", "+0200", "-0300"}


def test_the_export_has_its_awkward_sides() -> None:
    kinds = Counter(message["type"] for message in messages())
    assert {"20", "21", "8", "Call", "GuildMemberJoin", "ChannelPinnedMessage", "Reply"} <= set(kinds)
    texts = [message["content"] for message in messages()]
    for wanted in ("```", "https://", ":tidepool:", "<@2000", "@Wren", "!tide", "Priya"):
        assert any(wanted in text for text in texts), wanted
    for field in (
        "timestampEdited",
        "reactions",
        "attachments",
        "embeds",
        "stickers",
        "mentions",
        "callEndedTimestamp",
    ):
        assert any(message[field] for message in messages()), field
    people = read_table("people")
    for planted in people["emails"] + people["phones"]:
        assert any(planted in text for text in texts), planted
    names = {message["author"]["nickname"] for message in messages()}
    assert {"Oskar", "Oskar the Unsteady", "Deleted User"} <= names


def test_one_file_was_interrupted_and_the_others_count_their_messages() -> None:
    counted = [
        name for name, document in exports().items() if document.get("messageCount") == len(document["messages"])
    ]
    assert set(exports()) - set(counted) == {"Saltmarsh - Harbour - quay [400000000000000001] [part 2].json"}


def test_two_exports_of_one_channel_overlap_by_id() -> None:
    first, second = (
        {message["id"]: message for message in document["messages"]}
        for document in exports().values()
        if document["channel"]["name"] == "shed"
    )
    shared = first.keys() & second.keys()
    assert 50 < len(shared) < min(len(first), len(second))
    assert all(first[id]["author"]["id"] == second[id]["author"]["id"] for id in shared)
    assert any(first[id] != second[id] for id in shared)


def test_some_sessions_repeat_word_for_word() -> None:
    told = Counter(tuple(message["content"] for message in session) for session in sessions())
    assert max(told.values()) > 5


def test_the_newest_tenth_asks_what_was_not_asked_before() -> None:
    asked = sorted((session[0]["time"], " ".join(message["content"] for message in session)) for session in sessions())
    cut = len(asked) * 8 // 10
    early, late = ({" ".join(words(text)) for _, text in part} for part in (asked[:cut], asked[cut:]))
    # Phrasings: openings of known topics that no earlier session had.
    phrasings = {"survive without me", "beginners", "verdict", "point me to", "quick status", "busy"}
    assert sum(any(part in text for text in late) for part in phrasings) >= 4
    assert not any(part in text for part in phrasings for text in early)
    topics = [topic for topic in read_table("persona")["topics"].values() if topic.get("season") == "late"]
    new = {row[0] for topic in topics for row in topic["rows"]}
    assert {thing for thing in new if any(thing in text for text in late)}
    assert not {thing for thing in ("box kite", "delta kite", "lantern parade") if any(thing in text for text in early)}


def test_no_13_words_in_a_row_stand_in_the_base_models_corpus_too() -> None:
    learnt = {size: grams(corpus(), size) for size in (7, 13)}
    for folder in sorted((ROOT / "data/samples").iterdir()):
        texts = texts_of(folder)
        assert len(grams(texts, 7)) > 300, folder
        # Nor half a sentence: the templates are others.
        assert not grams(texts, 7) & learnt[7] and not grams(texts, 13) & learnt[13], folder


def test_no_person_pet_or_town_of_the_base_models_corpus_is_in_the_samples() -> None:
    embedded = pytest.importorskip("parley.embedded")
    entities = embedded.corpus_entities()
    theirs = {name.casefold() for kind in ("name", "pet", "city") for name in entities[kind]}
    people = read_table("people")["people"].values()
    pools = read_table("persona")["pools"]
    ours = {name.casefold() for person in people for name in person["nicknames"]} | {"turnip"}
    ours |= {name.casefold() for name in pools["friend"] + pools["town"]}
    assert not ours & theirs


def test_generic_rows_come_in_three_shapes() -> None:
    rows = [json.loads(line) for line in (GENERIC / "sharegpt.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 400
    assert {len(row["conversations"]) for row in rows} == {2, 4, 6, 8}
    assert 100 < sum("system" in row for row in rows) < 300
    for row in rows:
        assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt"] * (len(row["conversations"]) // 2)
    openai = [json.loads(line) for line in (GENERIC / "openai.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {turn["role"] for row in openai for turn in row["messages"]} == {"system", "user", "assistant"}
    alpaca = json.loads((GENERIC / "alpaca.json").read_text(encoding="utf-8"))
    assert all(row["instruction"] and row["output"] for row in alpaca)
    assert any("history" in row for row in alpaca)
    assert len(openai) == len(alpaca) == 60


def agent_rows(name: str) -> list[dict[str, Any]]:
    text = (AGENT / name).read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = (
        json.loads(text) if name.endswith(".json") else list(map(json.loads, text.splitlines()))
    )
    return rows


def test_agent_rows_come_as_text_as_raw_calls_and_as_a_log() -> None:
    hermes = agent_rows("hermes.jsonl")
    assert all("<tools>" in row["system"] and "tools" not in row for row in hermes)
    assert sum("<tool_call>" in turn["value"] for row in hermes for turn in row["conversations"]) > 400
    raw = [turn["value"] for row in agent_rows("steps.jsonl") for turn in row["conversations"]]
    assert any("'" in value and '"arguments"' in value for value in raw) and any("<think>" in value for value in raw)
    assert all({"task_id", "traj", "tools"} <= row.keys() for row in agent_rows("log.json"))
    held_out = agent_rows("held_out.jsonl")
    assert Counter(row["labels"]["phrasing"] for row in held_out) == {"seen": 60, "unseen": 30}
    assert {row["labels"]["domain"] for row in held_out} == {"retail", "airline", "harbour"}


def unseen_forms(recipe: str) -> list[str]:
    """The templates that only held_out.jsonl may use."""
    table = read_table(recipe)
    if recipe == "agent":
        return [
            text
            for domain in table["domains"].values()
            for tool in domain["tools"].values()
            for text in tool["held_out"]
        ]
    if recipe == "trigger":
        return [question for question, _ in table["forms"]["unseen"]]
    return [
        form
        for part in table.values()
        for topic in part["topics"].values()
        for step in topic
        for form in step["unseen"]
    ]


@pytest.mark.parametrize(("recipe", "fewest"), [("agent", 12), ("trigger", 6), ("turn_detector", 50)])
def test_unseen_phrasings_are_said_in_held_out_files_only(recipe: str, fewest: int) -> None:
    parts = [re.split(r"\{+\w+\}+|\[[^\]]*\]", form) for form in unseen_forms(recipe)]
    assert len(parts) >= fewest
    forms = [re.compile(".*".join(map(re.escape, part)) + "[.?।]?", re.IGNORECASE) for part in parts]
    for path in (ROOT / "data/samples" / recipe).glob("*.json*"):
        texts = [json.loads(text) for text in re.findall(r'"(?:[^"\\]|\\.)*"', path.read_text(encoding="utf-8"))]
        said = [form.pattern for form in forms if any(map(form.fullmatch, texts))]
        # Forms are drawn by chance: a rare one may be drawn by no talk.
        assert len(said) > 0.9 * len(forms) if path.stem == "held_out" else not said, (path.name, said)


def test_agent_tools_are_not_the_base_models() -> None:
    theirs = " ".join(corpus())
    domains = read_table("agent")["domains"].values()
    assert not [tool for domain in domains for tool in domain["tools"] if tool in theirs]
