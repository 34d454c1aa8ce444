"""What is written is what LLaMA-Factory takes; with PARLEY_LLAMAFACTORY (a folder of its commands), by running it."""

import json
import os
import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workspace import set_params

from parley.conversation import Conversation, ToolCall, Turn, to_sharegpt
from parley.errors import ParleyError
from parley.jsonl import write_jsonl
from parley.params import read_yaml
from tools.export_llamafactory import export, main
from tools.import_settings import import_settings
from tools.llamafactory_rows import Count, write_rows

TOOLS = json.dumps([{"type": "function", "function": {"name": "find"}}])
SEED = {  # the values of an agent's run on Qwen
    "model__name": "Qwen/Qwen2.5-7B-Instruct",
    "train__mode": "full",
    "train__epochs": 2,
    "train__lr": 5e-6,
    "train__batch_size": 1,
    "train__accumulation": 2,
    "encode__max_length": 12000,
}


def workspace(root: Path, talks: list[Conversation], **changes: Any) -> Path:
    set_params(root, **{"model__name": "Qwen/Qwen2.5-7B-Instruct", **changes})
    for split in ("train", "val"):
        write_jsonl(root / f"data/splits/{split}.jsonl", map(to_sharegpt, talks))
    return root


def talk(*turns: Turn, tools: str = "", system: str = "", id: str = "c") -> Conversation:
    return Conversation(id, turns, system, tools)


def chat(text: str = "a") -> Conversation:
    return talk(Turn("user", "q"), Turn("assistant", text))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def call_of(value: str) -> tuple[str, list[dict[str, Any]]]:
    """(text, calls) as formatter.py of LLaMA-Factory 0.9.5 reads a function_call turn."""
    found = re.search(r"<tool_call>(.*?)</tool_call>", value, re.DOTALL)
    thought = None if found else re.search(r"<think>(.*?)</think>", value, re.DOTALL)
    before = value.replace(found[0], "") if found else thought[0] if thought else ""
    calls = json.loads(found[1] if found else value.replace(thought[0], "") if thought else value)
    return before, calls if isinstance(calls, list) else [calls]


TAG = st.sampled_from(["<tool_call>", "</tool_call>", "<think>", "</think>", "x", "\n", '"', "é"])
TAGS = st.lists(TAG, max_size=5).map("".join)
sided = st.lists(
    st.one_of(
        st.builds(Turn, st.just("user"), TAGS),
        st.builds(Turn, st.just("assistant"), TAGS),
        st.builds(Turn, st.just("tool"), TAGS),
        st.builds(
            Turn,
            st.just("assistant"),
            TAGS,
            st.lists(st.builds(ToolCall, st.just("find"), st.fixed_dictionaries({"id": TAGS})), max_size=2).map(tuple),
        ),
    ),
    max_size=6,
)


@settings(max_examples=60)
@given(talks=st.lists(sided, min_size=1, max_size=6))
def test_every_row_written_is_one_that_it_takes_and_the_rest_is_counted(
    talks: list[list[Turn]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = [talk(*turns, tools=TOOLS, id=str(number)) for number, turns in enumerate(talks)]
    path, count = tmp_path_factory.mktemp("lf") / "mine.jsonl", Count()
    write_rows(path, ((each.id, each) for each in [chat(), *made]), count, joined=True)
    found = rows(path)
    assert (len(found), count.written + count.left_out.total()) == (count.written, len(talks) + 1)
    for row in found[1:]:
        tags = [turn["from"] for turn in row["conversations"]]
        assert len(tags) % 2 == 0
        assert set(tags[::2]) <= {"human", "observation"}
        assert set(tags[1::2]) <= {"gpt", "function_call"}
        said = [turn for turn in talks[int(row["id"])] if turn.calls]
        got = [call_of(turn["value"]) for turn in row["conversations"] if turn["from"] == "function_call"]
        for turn, (text, calls) in zip(said, got, strict=True):
            assert [dict(call.arguments) for call in turn.calls] == [call["arguments"] for call in calls]
            assert text == (f"{turn.text}\n" if turn.text else "")


def test_left_out_rows_are_counted_by_reason_with_the_first_place(tmp_path: Path) -> None:
    user, answer = Turn("user", "q"), Turn("assistant", "a")
    talks = [talk(answer, user), talk(user, answer, user), talk(user, answer, user), talk(user, user), chat()]
    root = workspace(tmp_path, talks)
    count = export(root, "mine", tmp_path / "out")[tmp_path / "out/data/mine.jsonl"]
    places = {reason: source.rpartition("/")[2] for reason, source in count.first.items()}
    assert places == {
        "does not begin with the user": "train.jsonl:1",
        "ends with the user": "train.jsonl:2",
        "two turns of one side in a row": "train.jsonl:4",
    }
    assert count.left_out["ends with the user"] == 2
    assert count.written == 1


@pytest.mark.parametrize(
    ("template", "joined"), [("qwen", "1\n</tool_response>\n<tool_response>\n2"), ("llama3", '["1", "2"]')]
)
def test_several_answers_are_one_observation(tmp_path: Path, template: str, joined: str) -> None:
    calls = (ToolCall("find", {"n": 1}), ToolCall("find", {"n": 2}))
    turns = (Turn("user", "q"), Turn("assistant", "both", calls), Turn("tool", "1"), Turn("tool", "2"))
    root = workspace(tmp_path, [talk(*turns, Turn("assistant", "a"), tools=TOOLS, system="be brief")])
    export(root, "mine", tmp_path / "out", template=template)
    (row,) = rows(tmp_path / "out/data/mine.jsonl")
    assert [turn["from"] for turn in row["conversations"]] == ["human", "function_call", "observation", "gpt"]
    assert row["conversations"][2]["value"] == joined
    assert row["system"] == "be brief"
    whole = {"name": "find", "description": "", "parameters": {"type": "object", "properties": {}}}
    assert json.loads(row["tools"]) == [whole]


def test_weights_of_turns_are_left_behind_and_counted(tmp_path: Path) -> None:
    root = workspace(tmp_path, [talk(Turn("user", "q"), Turn("assistant", "a", weight=0.5)), chat("b")])
    count = export(root, "mine", tmp_path / "out")[tmp_path / "out/data/mine.jsonl"]
    assert (count.written, count.weighted) == (2, 1)
    assert all(
        set(turn) == {"from", "value"}
        for row in rows(tmp_path / "out/data/mine.jsonl")
        for turn in row["conversations"]
    )


def test_settings_are_those_of_params(tmp_path: Path) -> None:
    root = workspace(tmp_path, [chat()], **SEED, train__lora__r=8, train__lora__target_modules=["q_proj", "v_proj"])
    export(root, "tau2_sft", tmp_path / "out")
    full = read_yaml(tmp_path / "out/examples/train_full/tau2_sft_full_sft.yaml")
    wanted = {
        "model_name_or_path": "Qwen/Qwen2.5-7B-Instruct",
        "template": "qwen",
        "finetuning_type": "full",
        "dataset": "tau2_sft",
        "eval_dataset": "tau2_sft_val",
        "cutoff_len": 12000,
        "num_train_epochs": 2.0,
        "learning_rate": 5e-6,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 2,
        "neat_packing": True,
        "seed": 42,
    }
    assert full == full | wanted
    assert "lora_rank" not in full
    lora = read_yaml(tmp_path / "out/examples/train_lora/tau2_sft_lora_sft.yaml")
    assert (lora["lora_rank"], lora["lora_alpha"], lora["lora_target"]) == (8, 8, "q_proj,v_proj")
    for number in (2, 3):
        zero = json.loads((tmp_path / f"out/examples/deepspeed/ds_zero{number}.json").read_text())
        assert zero["zero_optimization"]["stage"] == number
        assert ("offload_param" in zero["zero_optimization"]) == (number == 3)


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_settings_that_were_exported_are_a_recipe_again(tmp_path: Path, mode: str) -> None:
    export(workspace(tmp_path, [chat()], **SEED, model__template="chatml"), "mine", tmp_path / "out")
    found = import_settings(tmp_path / f"out/examples/train_{mode}/mine_{mode}_sft.yaml").values
    wanted = {"train.mode": mode, "train.lr": 5e-6, "train.epochs": 2, "encode.max_length": 12000}
    assert found == found | wanted


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("hishab/titulm-llama-3.2-1b-v1.1", "llama3"),
        ("Qwen/Qwen3-8B", "qwen3"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral"),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", None),
        ("someone/else", None),
    ],
)
def test_the_template_follows_the_model(tmp_path: Path, name: str, template: str | None) -> None:
    root = workspace(tmp_path, [chat()], model__name=name)
    export(root, "mine", tmp_path / "out")
    found = read_yaml(tmp_path / "out/examples/train_lora/mine_lora_sft.yaml")
    assert found.get("template") == template


@pytest.mark.parametrize(
    ("loss", "wanted"), [("assistant", (None, None)), ("last_turn", (True, None)), ("all", (None, True))]
)
def test_the_loss_is_that_of_encode(tmp_path: Path, loss: str, wanted: tuple[bool | None, bool | None]) -> None:
    root = workspace(tmp_path, [chat()], encode__loss=loss)
    export(root, "mine", tmp_path / "out")
    found = read_yaml(tmp_path / "out/examples/train_full/mine_full_sft.yaml")
    assert (found.get("mask_history"), found.get("train_on_prompt")) == wanted


def test_a_loss_without_counterpart_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(workspace(tmp_path, [chat()], encode__loss="eou"), "mine", tmp_path / "out")
    assert "encode.loss eou: LLaMA-Factory has no such loss" in capsys.readouterr().out


def test_other_datasets_of_the_folder_stay(tmp_path: Path) -> None:
    root = workspace(tmp_path, [chat()])
    (tmp_path / "out/data").mkdir(parents=True)
    (tmp_path / "out/data/dataset_info.json").write_text('{"identity": {"file_name": "identity.json"}}')
    export(root, "mine", tmp_path / "out")
    found = json.loads((tmp_path / "out/data/dataset_info.json").read_text())
    assert sorted(found) == ["identity", "mine", "mine_val"]
    assert found["mine"]["columns"] == {"messages": "conversations", "system": "system", "tools": "tools"}


def test_a_sharegpt_file_is_exported_whole_without_a_validation_set(tmp_path: Path) -> None:
    root = workspace(tmp_path, [])
    source = tmp_path / "theirs.json"
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    source.write_text(json.dumps([{"conversations": turns}, {"conversations": []}]))
    counts = export(root, "mine", tmp_path / "out", source=source)
    (count,) = counts.values()
    assert (count.written, count.left_out.total()) == (1, 1)
    assert list(count.first.values()) == ["theirs.json:1"]
    assert "eval_dataset" not in read_yaml(tmp_path / "out/examples/train_lora/mine_lora_sft.yaml")


@pytest.mark.parametrize(
    ("name", "out", "source", "message"),
    [
        ("", "out", "", "NAME= or OUT= is missing"),
        ("mine", "", "", "NAME= or OUT= is missing"),
        ("a b", "out", "", "NAME='a b': letters"),
        ("mine", "data/splits", "", "data/ is the pipeline's own"),
        ("mine", "out", "nowhere.json", "FROM=nowhere.json: no such file"),
        ("mine", "params.yaml/out", "", "Not a directory: name another folder as OUT"),
    ],
)
def test_a_wrong_argument_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, out: str, source: str, message: str
) -> None:
    monkeypatch.chdir(workspace(tmp_path, [chat()]))
    monkeypatch.setattr("sys.argv", ["export", name, out, source, ""])
    with pytest.raises(SystemExit, match=re.escape(message)):
        main()
    assert not (tmp_path / "out").exists()


def test_a_file_without_a_row_is_an_error_and_not_written(tmp_path: Path) -> None:
    root = workspace(tmp_path, [talk(Turn("user", "q"))])
    with pytest.raises(ParleyError, match=r"no row is left of 1: 1 ends with the user \(first: .*train.jsonl:1\)"):
        export(root, "mine", tmp_path / "out")
    assert not (tmp_path / "out/data/mine.jsonl").exists()


@pytest.mark.slow
@pytest.mark.skipif("PARLEY_LLAMAFACTORY" not in os.environ, reason="LLaMA-Factory has an environment of its own")
@pytest.mark.parametrize("mode", ["lora", "full"])
def test_llamafactory_sees_every_row_and_trains(tmp_path: Path, tiny_base: Path, mode: str) -> None:
    call = Turn("assistant", "I look", (ToolCall("find", {"what": "</tool_call>"}), ToolCall("find", {"what": "b"})))
    called = (Turn("user", "q"), call, Turn("tool", "1"), Turn("tool", "2"), Turn("assistant", "a"))
    talks = [chat(f"answer {number}") for number in range(9)] + [talk(*called, tools=TOOLS), talk(Turn("user", "q"))]
    root = workspace(tmp_path, talks, model__name="parley-tiny", train__packing=False, train__epochs=1)
    (root / "models").mkdir()
    (root / "models/base").symlink_to(tiny_base)
    counts = export(root, "mine", tmp_path / "out")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HOME": str(tmp_path / "hf")}
    environment["PATH"] = f"{os.environ['PARLEY_LLAMAFACTORY']}{os.pathsep}{os.environ['PATH']}"
    script = tmp_path / f"out/examples/train_{mode}/mine_{mode}_sft.sh"
    done = subprocess.run([script, "use_cpu=true"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    seen = [int(number) for number in re.findall(r"Num examples = (\d+)", done.stdout + done.stderr)]
    assert seen[:2] == [count.written for count in counts.values()] == [10, 10]
    losses = [json.loads(line) for line in (tmp_path / f"out/saves/mine/{mode}/sft/trainer_log.jsonl").open()]
    assert losses[-1]["current_steps"] == 5
    assert all(a["current_steps"] <= b["current_steps"] for a, b in pairwise(losses))
