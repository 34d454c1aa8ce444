"""Every chat template: what it trains, how it ends, and that it writes what the model's makers write."""

import json
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import pytest
from small_tokenizers import TOKENS, source_of, tokenizer_of, unmarked
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

from parley.conversation import Conversation, ToolCall, Turn, to_chat
from parley.encoding.chat import encode, encode_prompts, template_of
from parley.encoding.rendering import render, renderer_of
from parley.errors import ParleyError
from parley.inference.generation import stop_ids
from parley.modeling.families import read_template, set_template, tokens_of

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "of a town",
        "parameters": {"type": "object", "properties": {"town": {"type": "string", "description": "which"}}},
    },
}
CALL = ToolCall("weather", {"town": "Bath", "é": [1]})


def talk(*texts: str, system: str = "") -> Conversation:
    turns = tuple(Turn("assistant" if place % 2 else "user", text) for place, text in enumerate(texts))
    return Conversation("c", turns, system=system, source="chat.json:7")


CALLING = (Turn("user", "rain?"), Turn("assistant", "", (CALL,)), Turn("tool", '{"rain": true}'))
TALKS = {
    "one": talk("hi", "hello"),
    "several": talk("hi", "hello assistant", "bye", "x", "and?", "nothing"),
    "system": talk("hi", "hello", system="be brief"),
    "unicode": talk("héllo 👩‍👩‍👧 \u202eabc", 'বাংলা। naïve ﬁ "q" \\ {{ x }} {% if %}', "<b>", "日本\n\n語"),
    "blanks": talk(" hi ", "\n  hello \n", "b", "c "),
    "calls": Conversation(
        "c",
        (*CALLING, Turn("assistant", "yes"), Turn("user", "ok"), Turn("assistant", "fine")),
        tools=json.dumps([WEATHER]),
    ),
}
REFUSED = {("gemma", "system"), ("cohere", "calls"), ("gemma", "calls"), ("gemma3", "calls"), ("glm4moe", "calls")}
REFUSED |= {(name, "calls") for name in ("livekit", "zephyr", "llama2", "alpaca", "llama3", "phi3", "phi3_5", "lfm2")}
CASES = [(name, case) for name in TOKENS for case in TALKS if (name, case) not in REFUSED]


def plain(text: str) -> str:
    """Without the blanks that templates trim, and without Qwen3's and GLM's empty thought."""
    return text.replace("<think>\n\n</think>", "").replace("<think></think>", "").strip()


@pytest.mark.parametrize("name, case", CASES)
def test_trained_spans_are_the_assistants_words_and_the_end_token(name: str, case: str) -> None:
    template, conversation = template_of(tokenizer_of(name)), TALKS[case]
    (found,) = encode(template, [conversation])
    said = [turn for turn in conversation.turns if turn.role == "assistant"]
    assert len(found.spans) == len(said)
    for turn, (start, stop) in zip(said, found.spans, strict=True):
        text = template.tokenizer.decode(found.ids[start:stop])
        assert text.endswith(template.end) and found.ids[stop - 1] == template.end_id
        body = plain(text.removesuffix(template.end))
        if turn.calls:
            assert "weather" in body and "Bath" in body and ("é" in body or "\\u00e9" in body)
        else:
            assert body == plain(turn.text)


@pytest.mark.parametrize("name, case", CASES)
def test_what_stands_before_an_answer_is_its_prompt(name: str, case: str) -> None:
    template, conversation = template_of(tokenizer_of(name)), TALKS[case]
    (found,) = encode(template, [conversation])
    places = [place for place, turn in enumerate(conversation.turns) if turn.role == "assistant"]
    before = [replace(conversation, turns=conversation.turns[:place]) for place in places]
    assert encode_prompts(template, before) == [found.ids[:start] for start, _ in found.spans]


@pytest.mark.parametrize("name, case", CASES)
def test_the_mask_is_the_same_without_markers(name: str, case: str) -> None:
    found = []
    for source in (source_of(name), unmarked(source_of(name))):
        template = template_of(tokenizer_of(name, source))
        found.append((template.end, encode(template, [TALKS[case]])))
    assert found[0] == found[1]


@pytest.mark.parametrize("name, case", CASES)
def test_text_and_markers_are_those_of_transformers(name: str, case: str) -> None:
    tokenizer, conversation = tokenizer_of(name), TALKS[case]
    (text,), spans = render_jinja_template(
        [to_chat(conversation)],
        tools=json.loads(conversation.tools) if conversation.tools else None,
        chat_template=tokenizer.chat_template,
        return_assistant_tokens_mask=True,
        date_string="26 Jul 2024",
        **tokenizer.special_tokens_map,
    )
    pieces = render(renderer_of(tokenizer), conversation)
    assert "".join(pieces) == text
    if spans[0]:
        assert list(accumulate(map(len, pieces[:-1]))) == [
            start for start, _ in spans[0] if start not in {stop for _, stop in spans[0]}
        ]


@pytest.mark.parametrize("name, case", sorted(REFUSED))
def test_what_a_template_cannot_say_is_refused_by_row(name: str, case: str) -> None:
    with pytest.raises(ParleyError, match=r"^chat.json:7|^data \(conversation c\)"):
        encode(template_of(tokenizer_of(name)), [TALKS[case]])


@pytest.mark.parametrize("name", TOKENS)
def test_the_end_token_is_in_the_stop_list(name: str) -> None:
    template = template_of(tokenizer_of(name))
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=8, eos_token_id=2, **sizes))
    assert set(stop_ids(model, template)) >= {template.end_id, template.tokenizer.eos_token_id, 2}


# --- the makers' own text

# Ours are held against golden text below. Qwen3's own leaves thoughts out of earlier turns, empty ones too, and GLM's
# own does not write the token that ends its answer: there the variant differs on purpose.
MAKERS = [
    (name, case)
    for name, case in CASES
    if name not in ("chatml", "livekit", "zephyr", "llama2", "alpaca", "glm4moe")
    and (name != "qwen3" or case in ("one", "system"))
]


@pytest.mark.parametrize("name, case", MAKERS)
def test_a_training_variant_writes_what_the_models_makers_write(name: str, case: str) -> None:
    variant, original = tokenizer_of(name), tokenizer_of(name, source_of(name, original=True))
    assert "".join(render(renderer_of(variant), TALKS[case])) == "".join(render(renderer_of(original), TALKS[case]))


TALK = talk("hi", "hello", "bye", "ok", system="be brief")
GOLDEN = {
    # https://huggingface.co/TinyLlama/TinyLlama-1.1B-Chat-v1.0
    "zephyr": "<|system|>\nbe brief</s>\n<|user|>\nhi</s>\n<|assistant|>\nhello</s>\n<|user|>\nbye</s>\n"
    "<|assistant|>\nok</s>\n",
    # https://github.com/meta-llama/llama (llama/generation.py)
    "llama2": "<s>[INST] <<SYS>>\nbe brief\n<</SYS>>\n\nhi [/INST] hello </s><s>[INST] bye [/INST] ok </s>",
    # https://github.com/tatsu-lab/stanford_alpaca#data-release
    "alpaca": "be brief\n\n### Instruction:\nhi\n\n### Response:\nhello</s>\n\n### Instruction:\nbye\n\n"
    "### Response:\nok</s>",
    "chatml": "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    "hello<|im_end|>\n<|im_start|>user\nbye<|im_end|>\n<|im_start|>assistant\nok<|im_end|>\n",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_our_templates_write_their_familys_text(name: str) -> None:
    assert "".join(render(renderer_of(tokenizer_of(name)), TALK)) == GOLDEN[name]


def test_alpaca_without_system_prompt_begins_with_its_own() -> None:
    text = "".join(render(renderer_of(tokenizer_of("alpaca")), talk("hi", "hello")))
    assert text == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
        "\n\n### Instruction:\nhi\n\n### Response:\nhello</s>"
    )


# --- thoughts

THOUGHT = talk("one?", "<think>\nfirst\n</think>\n\n1", "two?", "<think>\nsecond\n</think>\n\n2")


def thinking(name: str, conversation: Conversation, *, last: bool = False) -> list[str]:
    """What Qwen3 is trained on, by model.thinking."""
    tokenizer = tokenizer_of("qwen3", source_of("qwen3", original=True))
    set_template(tokenizer, "auto", {"model_type": "qwen3"}, root=Path(), thinking=name)
    template = template_of(tokenizer)
    (found,) = encode(template, [conversation], last=last)
    prompt = tokenizer.decode(found.ids[: found.spans[-1][0]])
    return [*(tokenizer.decode(found.ids[start:stop]) for start, stop in found.spans), prompt]


def test_thoughts_that_are_kept_are_trained_in_every_turn() -> None:
    first, second, prompt = thinking("keep", THOUGHT)
    assert first == "<think>\nfirst\n</think>\n\n1<|im_end|>" and second == "<think>\nsecond\n</think>\n\n2<|im_end|>"
    assert "first" in prompt


def test_thoughts_of_the_last_turn_only_are_as_the_model_is_used() -> None:
    second, prompt = thinking("last", THOUGHT, last=True)
    assert second == "<think>\nsecond\n</think>\n\n2<|im_end|>"
    assert prompt.endswith(
        "<|im_start|>assistant\n1<|im_end|>\n<|im_start|>user\ntwo?<|im_end|>\n<|im_start|>assistant\n"
    )
    with pytest.raises(ParleyError, match="of turn 1 does not decode"):
        thinking("last", THOUGHT)


def test_without_thoughts_the_prompt_holds_the_empty_one() -> None:
    first, second, prompt = thinking("off", talk("one?", "1", "two?", "2"))
    assert (first, second) == ("1<|im_end|>", "2<|im_end|>")
    assert prompt.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


# --- which one a base gets


def bare(name: str) -> PreTrainedTokenizerFast:
    tokenizer = tokenizer_of(name)
    tokenizer.chat_template = None
    return tokenizer


@pytest.mark.parametrize(
    "tokens, config, expected",
    [
        ("llama3", {"model_type": "llama"}, "trl:llama3"),
        ("zephyr", {"model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 22}, "zephyr"),
        ("qwen2_5", {"model_type": "qwen2"}, "trl:qwen2_5"),
        ("qwen3", {"model_type": "qwen3"}, "trl:qwen3"),
        ("gemma", {"model_type": "gemma2"}, "trl:gemma"),
        ("gemma3", {"model_type": "gemma3", "text_config": {"hidden_size": 8}}, "trl:gemma3"),
        ("phi3", {"model_type": "phi3"}, "trl:phi3"),
    ],
)
def test_a_base_without_template_gets_its_familys(tokens: str, config: dict[str, object], expected: str) -> None:
    tokenizer = bare(tokens)
    assert set_template(tokenizer, "auto", config, root=Path()) == (expected, {})
    assert tokenizer.chat_template == read_template(expected, Path())[1]


def test_llama_2_is_known_by_its_words_and_a_llama_of_unknown_tokens_by_nothing() -> None:
    tokenizer = bare("llama2")
    with pytest.raises(ParleyError, match="its family is not known"):
        set_template(tokenizer, "auto", {"model_type": "llama", "vocab_size": 32000}, root=Path())
    tokenizer.add_tokens(["▁[", "INST"])
    assert set_template(tokenizer, "auto", {"model_type": "llama", "vocab_size": 32000}, root=Path())[0] == "llama2"


def test_a_template_may_be_a_file_or_the_text_itself(tmp_path: Path) -> None:
    text = "{% for m in messages %}{{ m['content'] + eos_token }}{% endfor %}"
    (tmp_path / "mine.jinja").write_text(text)
    assert read_template("mine.jinja", tmp_path) == ("mine.jinja", text)
    assert read_template(text, tmp_path) == ("inline", text)
    with pytest.raises(ParleyError, match=r"no file other\.jinja"):
        read_template("other.jinja", tmp_path)
    with pytest.raises(ParleyError, match="did you mean 'trl:qwen3'"):
        read_template("trl:qwen33", tmp_path)


def test_the_tokens_of_a_template_without_declaration_are_what_looks_like_them() -> None:
    assert tokens_of("{{ '<|user|>' + x + '<|end|>' if a < b }}{{ '<|user|>' }}") == ["<|user|>", "<|end|>"]
    assert tokens_of(source_of("zephyr")) == []
