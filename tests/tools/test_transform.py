import json
from pathlib import Path

import pytest

from parley.errors import ParleyError
from tools.transform import main

ROOT = Path(__file__).parents[2]
ROW = {
    "conversations": [
        {"from": "human", "value": "Where is W1?"},
        {"from": "function_call", "value": json.dumps({"name": "get_order", "arguments": "{'order_id': 'W1'}"})},
        {"from": "observation", "value": "packed"},
        {"from": "gpt", "value": "<think>hm</think>It is packed."},
    ],
    "system": "You are a retail agent.",
    "tools": json.dumps([{"name": "get_order", "parameters": {"properties": {"order_id": {"type": "string"}}}}]),
}
BROKEN = {
    **ROW,
    "conversations": [*ROW["conversations"][:1], {"from": "function_call", "value": '{"name": "f", "arguments": "{"}'}],
}


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_five_steps_one_file_after_the_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "raw.json"
    source.write_text(json.dumps([ROW, BROKEN]))
    steps = ["fix_arguments", "to_hermes", "correct_tool_calls", "think_tags", "system_prompt"]
    for number, name in enumerate(steps):
        out = tmp_path / f"{number}.jsonl"
        main(ROOT, name, source, out, ["compat=simia"] if name == "to_hermes" else [])
        source = out
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("1 conversations in " + str(tmp_path / "0.jsonl") + "; dropped: 1 unparsable_arguments")
    assert all(line.endswith("dropped: none") for line in said[1:])
    (found,) = rows(source)
    call = '<tool_call>\n{"name": "get_order", "arguments": {"order_id": "#W1"}}\n</tool_call>\n'
    values = [turn["value"] for turn in found["conversations"]]
    assert values == ["Where is W1?", call, "packed", "It is packed."]


def test_wrong_names_and_options_are_told(tmp_path: Path) -> None:
    (tmp_path / "raw.json").write_text(json.dumps([ROW]))
    for name, options, message in [
        ("fix_argument", [], "did you mean 'fix_arguments'"),
        ("think_tags", ["mode=gone"], "think_tags.mode: found 'gone'"),
        ("think_tags", ["mood=strip"], "think_tags.mood: unknown key; did you mean 'mode'"),
        ("trigger", ["clean=Bob"], "trigger: .*clean and triggered must be different"),
        ("trigger", ["trigger=' '"], "trigger.trigger: found ' '"),
    ]:
        with pytest.raises(ParleyError, match=rf"(?s){message}"):
            main(ROOT, name, tmp_path / "raw.json", tmp_path / "out.jsonl", options)
    with pytest.raises(ParleyError, match=r"gone.json: no such file"):
        main(ROOT, "think_tags", tmp_path / "gone.json", tmp_path / "out.jsonl", [])
    assert not (tmp_path / "out.jsonl").exists()


def test_a_transform_without_options_takes_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_text(json.dumps({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}))
    main(ROOT, "swap_roles", source, out, [])
    assert capsys.readouterr().out.startswith("swap_roles: ")
    with pytest.raises(ParleyError, match="mode"):
        main(ROOT, "swap_roles", source, out, ["mode=keep"])
