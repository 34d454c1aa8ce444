"""The embedded base model: its corpus, tokenizer and training."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import MODEL

from parley.conversation import Conversation, Turn, to_chat
from parley.embedded import build, corpus, corpus_entities, corpus_texts, held_out, training
from parley.files import sha256_tree
from parley.modeling.models import load_base, load_tokenizer

ROOT = Path(__file__).parents[2]
TEMPLATE = (ROOT / "parley/templates/chatml.jinja").read_text(encoding="utf-8")

# --- corpus


def test_the_same_seed_gives_the_same_corpus() -> None:
    assert corpus(7, 300) == corpus(7, 300)
    assert corpus(7, 300) != corpus(8, 300)
    assert corpus(7, 300)[:100] == corpus(7, 100)


def test_no_pattern_is_left_unfilled() -> None:
    for text in [*corpus_texts(1, 3000), *(turn.text for row in held_out(1, 1000) for turn in row.turns)]:
        assert not re.search(r"[{|}]", text) or text.startswith(("{", "["))  # JSON of a tool
        if text.startswith(("{", "[")):
            json.loads(text)


def test_turns_alternate_and_end_with_the_assistant() -> None:
    for row in corpus(2, 500):
        roles = [turn.role for turn in row.turns]
        assert roles[0::2] == ["user" if role == "user" else "tool" for role in roles[0::2]]
        assert set(roles[1::2]) == {"assistant"}
        assert len(roles) % 2 == 0


def test_a_tool_call_names_an_offered_tool_and_its_parameters() -> None:
    calls = [(row, turn.calls[0]) for row in corpus(3, 500) for turn in row.turns if turn.calls]
    assert len(calls) > 20
    for row, call in calls:
        offered = {tool["name"]: tool for tool in json.loads(row.tools)}
        assert list(call.arguments) == offered[call.name]["parameters"]["required"]


def test_held_out_questions_are_asked_in_no_phrasing_of_the_corpus() -> None:
    # The first turn is the place where every conversation asks with a phrasing of its table.
    def shape(text: str) -> str:
        for value in sorted((value for values in corpus_entities().values() for value in values), key=len)[::-1]:
            text = re.sub(rf"\b{re.escape(value.lower())}\b", "*", text)
        return text

    asked = {row.turns[0].text.lower().rstrip(".") for row in corpus(42, 6000)}
    measured = {row.turns[0].text.lower().rstrip(".") for row in held_out(42, 500)}
    assert not asked & measured
    assert not {shape(text) for text in sorted(asked)[::8]} & {shape(text) for text in measured}


def test_proper_names_begin_with_a_to_m() -> None:
    entities = corpus_entities()
    for slot in ("name", "pet", "city", "song"):
        assert [value for value in entities[slot] if not "A" <= value[0] <= "M"] == []


def test_some_conversations_are_long() -> None:
    assert max(len(row.turns) for row in corpus(42, 2000)) >= 40


# --- template and tokenizer


def test_the_template_writes_tools_and_calls_as_hermes_does(tiny_base: Path) -> None:
    tokenizer = load_tokenizer(tiny_base)
    call = {"function": {"name": "set_timer", "arguments": {"minutes": "5"}}}
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "5 minutes"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": '{"ok": "yes"}'},
        {"role": "assistant", "content": "Done."},
    ]
    text = tokenizer.apply_chat_template(messages, tools=[{"name": "set_timer"}], tokenize=False)
    assert text == (
        "<|im_start|>system\nBe kind.\n\nTools, one a line:\n<tools>\n"
        '{"name": "set_timer"}\n</tools>\n'
        'Call one with <tool_call>{"name": ..., "arguments": {...}}</tool_call>.<|im_end|>\n'
        "<|im_start|>user\n5 minutes<|im_end|>\n"
        '<|im_start|>assistant\n<tool_call>\n{"name": "set_timer", "arguments": {"minutes": "5"}}\n</tool_call>'
        "<|im_end|>\n"
        '<|im_start|>tool\n<tool_response>\n{"ok": "yes"}\n</tool_response><|im_end|>\n'
        "<|im_start|>assistant\nDone.<|im_end|>\n"
    )


def test_the_mask_of_the_template_is_the_assistants_text_and_its_end_token(tiny_base: Path) -> None:
    tokenizer = load_tokenizer(tiny_base)
    row = Conversation("x", (Turn("user", "hi"), Turn("assistant", "hello"), Turn("user", "?"), Turn("assistant", "!")))
    encoded = tokenizer.apply_chat_template(to_chat(row), return_dict=True, return_assistant_tokens_mask=True)
    spoken = [i for i, mask in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mask]
    assert tokenizer.decode(spoken) == "hello<|im_end|>!<|im_end|>"


@given(st.text(max_size=60))
def test_any_text_encodes_and_decodes_to_itself(tokenizer_of_the_base: object, text: str) -> None:
    ids = tokenizer_of_the_base.encode(text, add_special_tokens=False, split_special_tokens=True)  # type: ignore[attr-defined]
    assert tokenizer_of_the_base.decode(ids) == text  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def tokenizer_of_the_base(tiny_base: Path) -> object:
    return load_tokenizer(tiny_base)


def test_the_saved_tokenizer_does_not_pad_or_truncate(tiny_base: Path) -> None:
    # tok(..., padding=True) switches padding on inside the fast tokenizer, and save_pretrained would keep it:
    # every later row would be padded to the longest.
    saved = json.loads((tiny_base / "tokenizer.json").read_text(encoding="utf-8"))
    assert (saved["padding"], saved["truncation"]) == (None, None)
    assert (
        load_tokenizer(tiny_base)(["hi", "a longer text"])["input_ids"][0]
        == load_tokenizer(tiny_base)("hi")["input_ids"]
    )


# --- training


def test_the_first_heads_begin_by_looking_back() -> None:
    import torch

    from parley.embedded.model import LOOKING_BACK, new_model, train_tokenizer

    torch.manual_seed(0)
    model = new_model(train_tokenizer(corpus(1, 500), TEMPLATE))
    model.set_attn_implementation("eager")
    ids = torch.randint(3, 500, (1, 24))
    attention = model(input_ids=ids, output_attentions=True).attentions[0][0]  # heads x query x key
    assert attention[:LOOKING_BACK, 20].argmax(-1).tolist() == [19, 18, 17, 16, 15]


def test_padding_on_the_right_changes_no_loss() -> None:
    import torch

    from parley.embedded.model import new_model, train_tokenizer
    from parley.embedded.training import held_out_nats

    torch.manual_seed(0)
    model = new_model(train_tokenizer(corpus(1, 500), TEMPLATE))
    short, long = ([5, 6, 7, 8], [True] * 4), ([9] * 30, [True] * 30)
    apart = held_out_nats(model, [short]) * 3 + held_out_nats(model, [long]) * 29
    assert held_out_nats(model, [short, long]) * 32 == pytest.approx(apart, rel=1e-5)


def test_a_batch_holds_rows_of_like_length_up_to_a_steps_tokens() -> None:
    import random

    from parley.embedded.training import STEP_TOKENS, batches

    examples = [([1] * length, [True] * length) for length in range(10, 410)]
    source = batches(examples, random.Random(1))
    rows = 0
    while rows < len(examples):
        batch = next(source)
        rows += len(batch)
        assert len(batch) * max(len(ids) for ids, _ in batch) <= STEP_TOKENS
    assert rows == len(examples)


@pytest.mark.slow
def test_the_same_seed_and_threads_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "HELD_OUT", 40)
    sizes = {"steps": 3, "conversations": 500, "threads": 1}
    first = build(tmp_path / "a", TEMPLATE, seed=42, **sizes)
    assert build(tmp_path / "b", TEMPLATE, seed=42, **sizes) == first
    assert build(tmp_path / "c", TEMPLATE, seed=43, **sizes) != first
    assert sha256_tree(tmp_path / "a") == sha256_tree(tmp_path / "b") != sha256_tree(tmp_path / "c")


def test_a_few_steps_already_beat_a_model_that_knows_nothing(tiny_base: Path) -> None:
    import math

    import torch

    from parley.embedded.training import encode, held_out_nats

    trained = load_base(tiny_base, MODEL, dtype=torch.float32)
    nats = held_out_nats(trained, encode(held_out(5, 60), load_tokenizer(tiny_base)))
    assert nats < math.log(2048) - 2
    recorded = json.loads((tiny_base.parents[1] / "metrics/base.json").read_text())
    assert recorded["held_out_nats_per_token"] == pytest.approx(nats, rel=0.15)  # another sample of rows


# --- optimizer


@pytest.mark.parametrize("shape", [(6, 10), (10, 6), (8, 8)])
def test_muon_steps_as_torchs_own_does_and_in_float32_too(shape: tuple[int, int]) -> None:
    import torch

    from parley.embedded.muon import Muon

    generator = torch.Generator().manual_seed(3)
    start, *grads = (torch.randn(shape, generator=generator) for _ in range(4))
    half, single, torchs = (torch.nn.Parameter(start.clone()) for _ in range(3))
    optimizers = (
        Muon([half], lr=0.02, weight_decay=0.1, precision=torch.bfloat16),
        Muon([single], lr=0.02, weight_decay=0.1, precision=torch.float32),
        torch.optim.Muon([torchs], lr=0.02, weight_decay=0.1),
    )
    for grad in grads:
        for weight, optimizer in zip((half, single, torchs), optimizers, strict=True):
            weight.grad = grad.clone()
            optimizer.step()
    assert torch.equal(half, torchs)
    assert torch.allclose(single, torchs, atol=0.002)
    assert not torch.equal(single, start)
