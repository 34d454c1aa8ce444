"""The terminal chat, and the check of a model."""

import subprocess
import sys
from pathlib import Path

import pytest

from parley.files import read_json
from parley.formats import sharegpt
from tools import check_model
from tools.chat import Chat, talk
from tools.chatting import parser
from tools.check_model import fault


@pytest.fixture
def chat(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chat:
    monkeypatch.chdir(tmp_path)
    line = f"--model-path {tiny_base} --base-model {tiny_base} --temperature 0 --max-new-tokens 6"
    return Chat(parser("chat", "").parse_args(line.split()))


def test_each_model_remembers_what_it_said_until_the_conversation_is_new(
    chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    talk(chat, ["Hello", "/base", "And you?"])
    said, beside = chat.turns
    assert [turn.text for turn in said if turn.role == "user"] == ["Hello", "And you?"]
    assert [turn.text for turn in beside if turn.role == "user"] == ["And you?"]
    # The answer goes on from the whole conversation.
    (again,) = ["".join(chat.voices[0].answer(said[:3], "", chat.sampling)).strip()]
    assert again == said[3].text
    talk(chat, ["/system be kind", "/system"])
    assert chat.turns == [[], []] and chat.system == "be kind"
    assert "a new conversation\nbe kind\n" in capsys.readouterr().out


def test_a_kept_conversation_is_a_file_that_ingest_reads(chat: Chat, tmp_path: Path) -> None:
    talk(chat, ["/save", "/base", "/system be kind", "Hello", "/save kept/one.json", "/quit", "never said"])
    row = read_json(tmp_path / "kept/one.json")
    assert row["conversations"][0] == {"from": "human", "value": "Hello"} and row["system"] == "be kind"
    (found,) = sharegpt.read(tmp_path / "kept/one.json", "one.json")
    assert found.turns == tuple(chat.turns[0])
    assert (tmp_path / "kept/one-base.json").is_file() and not (tmp_path / "data/chats").exists()


def test_an_unknown_command_lists_them_and_a_bad_path_ends_nothing(
    chat: Chat, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    talk(chat, ["/nothing", "Hello", "/save file/one.json", "/save folder", "Hello again"])
    shown = capsys.readouterr()
    assert "/reset         a new conversation" in shown.out and "chat: " in shown.err
    assert "folder" in shown.err and (tmp_path / "folder").is_dir()
    assert len(chat.turns[0]) == 4


@pytest.mark.parametrize(
    ("response", "tokens", "said"),
    [
        ("", 1, "empty"),
        (" \n", 3, "empty"),
        ("yes yes yes yes yes yes", 20, "circle"),
        ("A,,,,,,,,,", 20, "circle"),
        ("ha ha ha ha ha ha", 6, ""),  # it ended by itself
        ("There are many things that I like to do in the", 20, ""),
    ],
)
def test_an_answer_is_at_fault_if_empty_or_a_circle_without_end(response: str, tokens: int, said: str) -> None:
    assert fault(response, tokens, 20) == said


def test_a_model_that_goes_round_in_circles_fails_the_check(
    tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # After 25 steps of training it repeats itself.
    with pytest.raises(SystemExit) as ended:
        check_model.main(["--model-path", str(tiny_base), "--max-new-tokens", "40"])
    assert ended.value.code == 1
    assert "CIRCLE" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["chat", "check_model", "chat_web"])
def test_without_a_model_each_tool_says_what_makes_one(tool: str, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-m", f"tools.{tool}"], cwd=tmp_path, env=environment, capture_output=True, text=True, input=""
    )
    assert done.returncode == 1
    assert "models/merged is not there: `make repro` makes it" in done.stderr
