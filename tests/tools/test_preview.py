"""make preview: what it prints, and the page."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from small_tokenizers import bytes_tokenizer, source_of, tokenizer_of

from parley.conversation import Conversation, Turn, to_sharegpt
from parley.encoding.chat import template_of
from parley.jsonl import rows_into
from stages.encode import Encode
from tools import preview

ROOT = Path(__file__).parents[2]
PARAMS = Encode(max_length=64, keep="newest", loss="assistant", control_tokens="neutralise")
TALK = Conversation("c1", (Turn("user", "hé\x1b[31m<b>"), Turn("assistant", "日!", weight=-1.0)), source="x:1")


def shown() -> list[preview.Shown]:
    return preview.first(template_of(tokenizer_of("livekit")), PARAMS, iter([TALK]), 3)


def test_a_character_of_several_tokens_is_one_piece_with_all_their_ids() -> None:
    (example,) = shown()
    pieces = {piece.text: piece for line in example.lines for piece in line}
    assert len(pieces["日"].ids) == 3 and len(pieces["é"].ids) == 2
    assert (pieces["日"].weight, pieces["é"].weight) == (-1, 0)
    assert (example.tokens, example.trained) == (sum(len(piece.ids) for line in example.lines for piece in line), 5)


def test_the_terminal_gets_no_control_characters_and_sees_what_is_trained_without_colour() -> None:
    console = Console(file=io.StringIO(), width=200, color_system=None)
    preview.print_examples(shown(), console)
    assert isinstance(console.file, io.StringIO)
    assert "<|user|>hé\\x1b[31m<b><|im_end|><|im_start|><|assistant|>⟦日!<|im_end|>" in console.file.getvalue()
    assert "\x1b" not in console.file.getvalue()


def test_the_page_escapes_what_people_wrote(tmp_path: Path) -> None:
    preview.write_page(tmp_path / "page.html", "train", shown())
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b>" not in page and "&lt;" in page and 'class="against"' in page and "http" not in page.split("<body>")[1]


def test_blanks_of_sentencepiece_stay() -> None:
    tokenizer = bytes_tokenizer([], source_of("zephyr"))
    (example,) = preview.first(
        template_of(tokenizer), PARAMS, iter([Conversation("c", (Turn("user", "a b"), Turn("assistant", " c d")))]), 1
    )
    assert (
        "".join(piece.text for line in example.lines for piece in line)
        == "<|user|>\na b</s>\n<|assistant|>\n c d</s>\n"
    )


@pytest.mark.slow
def test_the_command_reads_splits_and_base(tmp_path: Path, tiny_base: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/base").symlink_to(tiny_base)
    settings = "encode: {max_length: 64, keep: newest, loss: assistant, control_tokens: neutralise}\n"
    (tmp_path / "params.yaml").write_text(settings)
    command = [sys.executable, "-m", "tools.preview", "--count", "2"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    missing = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert missing.returncode == 1 and "data/splits/train.jsonl is not there" in missing.stderr
    with rows_into(tmp_path / "data/splits/train.jsonl") as add:
        add(to_sharegpt(TALK))
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0 and "c1: " in found.stdout and (tmp_path / "metrics/preview.html").is_file()
