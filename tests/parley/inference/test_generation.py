from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from parley.conversation import Conversation, Turn
from parley.encoding.chat import Template, encode, template_of
from parley.encoding.control import neutralise
from parley.evaluation import Case
from parley.inference.generation import (
    Prompt,
    Sampling,
    answers_to,
    context_length,
    prompt_of,
    reference_logprobs,
    stop_ids,
)
from parley.modeling.models import load_tokenizer

NEW = 20


@pytest.fixture(scope="module")
def template(tiny_base: Path) -> Template:
    return template_of(load_tokenizer(tiny_base))


@pytest.fixture(scope="module")
def model(template: Template) -> LlamaForCausalLM:
    """Random weights, spread wide: every answer is another, and no two logits nearly tie."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(template.tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval()


def case(*texts: str, reference: str = "an answer", system: str = "") -> Case:
    turns = tuple(Turn("assistant" if place % 2 else "user", text) for place, text in enumerate(texts))
    return Case(
        "c1#1", "test", Conversation("c1", turns, system=system, source="chat.json:7"), Turn("assistant", reference)
    )


@pytest.fixture(scope="module")
def prompts(template: Template) -> list[Prompt]:
    cases = [
        case("hi " * size, reference="word " * (7 * size % 11), system="be brief" if size % 2 else "")
        for size in (5, 1, 30, 2, 12, 40, 3, 8, 21, 1, 17, 4, 33, 6, 9, 26, 11)
    ]
    return [prompt_of(template, one, max_new_tokens=NEW, context=512) for one in cases]


def greedy(model: LlamaForCausalLM, ids: list[int], count: int) -> list[int]:
    """One token at a time, without cache, padding or generate()."""
    written: list[int] = []
    for _ in range(count):
        with torch.no_grad():
            logits = model(torch.tensor([ids + written]), use_cache=False).logits[0, -1]
        written.append(int(logits.argmax()))
    return written


def test_batching_changes_no_answer_and_no_order(
    model: LlamaForCausalLM, template: Template, prompts: list[Prompt]
) -> None:
    alone = answers_to(model, template, prompts, sampling=Sampling(NEW), batch_size=1)
    together = answers_to(model, template, prompts, sampling=Sampling(NEW), batch_size=16)
    assert alone == together
    assert len({answer.text for answer in alone}) > 10
    written = greedy(model, prompts[2].ids, NEW)
    assert alone[2].text == template.tokenizer.decode(written, skip_special_tokens=True)
    assert (alone[2].finish, alone[2].tokens) == ("length", NEW)


def test_answer_ends_at_the_end_token_which_counts_but_is_not_shown(
    model: LlamaForCausalLM, template: Template, prompts: list[Prompt]
) -> None:
    written = greedy(model, prompts[0].ids, NEW)
    end = written[4]
    stops = replace(template, end_id=end)
    (answer, *_) = answers_to(model, stops, prompts, sampling=Sampling(NEW), batch_size=16)
    length = written.index(end)
    assert (answer.finish, answer.tokens) == ("stop", length + 1)
    assert answer.text == template.tokenizer.decode(written[:length], skip_special_tokens=True)


def test_stops_are_the_templates_the_tokenizers_and_the_generation_configs(
    model: LlamaForCausalLM, template: Template
) -> None:
    other = template.tokenizer.convert_tokens_to_ids("<|pad|>")
    for own in (other, [other]):
        model.generation_config = GenerationConfig(eos_token_id=own)
        assert stop_ids(model, replace(template, end_id=77)) == sorted({77, other, template.tokenizer.eos_token_id})
    model.generation_config = GenerationConfig()
    assert stop_ids(model, template) == [template.end_id]


def test_a_generation_config_that_samples_or_punishes_is_not_used(
    model: LlamaForCausalLM, template: Template, prompts: list[Prompt]
) -> None:
    model.generation_config = GenerationConfig(do_sample=True, temperature=5.0, repetition_penalty=3.0)
    (answer,) = answers_to(model, template, prompts[:1], sampling=Sampling(NEW), batch_size=1)
    assert answer.text == template.tokenizer.decode(greedy(model, prompts[0].ids, NEW), skip_special_tokens=True)


def test_reference_logprobs_are_those_of_each_row_alone(model: LlamaForCausalLM, prompts: list[Prompt]) -> None:
    found = reference_logprobs(model, prompts, batch_size=16)
    for prompt, logprobs in zip(prompts, found, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([prompt.ids + prompt.reference]), use_cache=False).logits[0]
        scores = logits.log_softmax(-1)
        start = len(prompt.ids) - 1
        naive = [float(scores[start + place, token]) for place, token in enumerate(prompt.reference)]
        assert logprobs == pytest.approx(naive, abs=1e-4)
        assert len(logprobs) == len(prompt.reference)


def test_prompt_and_reference_are_the_ids_that_encode_gives(template: Template) -> None:
    one = case("hi <|im_end|>", "hello", "and?", reference="fine", system="be brief")
    prompt = prompt_of(template, one, max_new_tokens=NEW, context=512)
    whole, _ = neutralise(template.control, replace(one.context, turns=(*one.context.turns, one.reference)))
    (encoded,) = encode(template, [whole])
    start, stop = encoded.spans[-1]
    assert (prompt.ids, prompt.reference) == (encoded.ids[:start], encoded.ids[start:stop])
    assert (prompt.control_tokens, prompt.cut) == (1, False)
    assert prompt.reference[-1] == template.end_id


def test_context_that_is_too_long_loses_its_oldest_turns(template: Template) -> None:
    long = case("first " * 50, "x", "second", "y", "third", system="be brief")
    prompt = prompt_of(template, long, max_new_tokens=NEW, context=100)
    assert prompt.cut
    assert template.tokenizer.decode(prompt.ids) == (
        "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nsecond<|im_end|>\n"
        "<|im_start|>assistant\ny<|im_end|>\n<|im_start|>user\nthird<|im_end|>\n<|im_start|>assistant\n"
    )
    assert len(prompt.ids) + NEW <= 100


def test_last_exchange_that_is_too_long_loses_its_beginning(template: Template) -> None:
    prompt = prompt_of(template, case("first", "x", "word " * 300), max_new_tokens=NEW, context=100)
    assert prompt.cut
    assert len(prompt.ids) == 100 - NEW
    assert template.tokenizer.decode(prompt.ids).endswith("word <|im_end|>\n<|im_start|>assistant\n")


def test_reference_that_is_too_long_is_cut_at_its_end(template: Template) -> None:
    whole = prompt_of(template, case("hi", reference="word " * 300), max_new_tokens=NEW, context=4096)
    prompt = prompt_of(template, case("hi", reference="word " * 300), max_new_tokens=NEW, context=100)
    assert prompt.cut and not whole.cut
    assert prompt.ids == whole.ids
    assert prompt.reference == whole.reference[: 100 - len(whole.ids)]


def test_context_length_is_the_configs(model: LlamaForCausalLM) -> None:
    assert context_length(model) == 512


def test_no_cases_give_no_answers(model: LlamaForCausalLM, template: Template) -> None:
    assert answers_to(model, template, [], sampling=Sampling(NEW), batch_size=4) == []
    assert reference_logprobs(model, [], batch_size=4) == []
