r"""A conversation through a chat template: token ids, and where the speaker that is learned speaks.

The rendered text is cut where each of the speaker's turns begins and every piece is tokenized as if it were alone,
because that is where generation begins too: no token reaches across, and a prompt's ids are the same in training and
in use. The cuts are tokens of their own to a copy of the tokenizer, and go again from the ids that it finds: one call
for a whole text takes a quarter less time than one for each piece.
In ChatML, cut at each `¦`, with what is trained in brackets:

    <|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n¦[hello<|im_end|>]\n<|im_start|>user\n...
"""

import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from parley.conversation import Conversation, Turn
from parley.encoding.control import CUT, control_strings
from parley.encoding.proof import prove
from parley.encoding.rendering import BEGIN, CHOOSE, Renderer, Speaker, render, renderer_of, row_of
from parley.errors import ParleyError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Template:
    """A tokenizer's chat template, and what `template_of` found out about it."""

    tokenizer: "PreTrainedTokenizerBase"
    renderer: Renderer
    control: re.Pattern[str]  # every string that the tokenizer turns into a control token
    end: str = ""  # the end token of an assistant's turn
    end_id: int = -1
    shift: int = 0  # characters from a generation marker to where the generation prompt ends
    shows_tools: bool = False  # that are given beside the conversation
    cutter: "PreTrainedTokenizerBase | None" = None  # the tokenizer, to which CUT and BEGIN are tokens too
    lead: str = ""  # stands behind a cut, and its ids come off again, where the tokenizer adds a blank to bare text
    skip: int = 1  # ids of a cut and `lead`


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a conversation; `spans` are [start, stop) of the speaker's turns, end token included."""

    ids: list[int]
    spans: tuple[tuple[int, int], ...]


def template_of(tokenizer: "PreTrainedTokenizerBase") -> Template:
    """The tokenizer's chat template, tried on a short conversation.

    Raises ParleyError if there is none, if it ends the assistant's turn with no control token, or if its
    generation prompt is not how the assistant's turn begins.
    """
    if not tokenizer.chat_template:
        raise ParleyError(f"the tokenizer {tokenizer.name_or_path} has no chat template: name one in model.template")
    template = Template(tokenizer, renderer_of(tokenizer), control_strings(tokenizer))
    trial = Conversation("trial", (Turn("user", "question"), Turn("assistant", "answer")))
    before, answer = render(template.renderer, trial)
    (prompt,) = render(template.renderer, replace(trial, turns=trial.turns[:1]), prompt=True)
    text = before + answer
    if not text.startswith(prompt) or "answer" not in text:
        raise ParleyError(f"the chat template's generation prompt is not how its assistant turn begins: {CHOOSE}")
    end = template.control.search(text, text.rindex("answer"))
    if end is None:
        raise ParleyError(
            "the chat template ends the assistant's turn with no control token of this tokenizer, so the model "
            f"would never learn to stop: {CHOOSE}"
        )
    cutter = _cutter(tokenizer)
    newline, letter, both = _tokenize(cutter, ["\n", "a", "\na"])
    lead = "" if newline + letter == both else "\n"
    return replace(
        template,
        end=end[0],
        end_id=tokenizer.convert_tokens_to_ids(end[0]),
        shift=len(prompt) - len(before),
        shows_tools="tools" in template.renderer.with_tools,
        cutter=cutter,
        lead=lead,
        skip=len(_tokenize(cutter, [CUT + lead])[0]),
    )


def _cutter(tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedTokenizerBase":
    from tokenizers import AddedToken

    cutter = deepcopy(tokenizer)
    cutter.add_tokens([AddedToken(mark, normalized=False) for mark in (CUT, BEGIN)], special_tokens=True)
    return cutter


def encode(
    template: Template, conversations: Sequence[Conversation], *, speaker: Speaker = "assistant", last: bool = False
) -> list[Encoded]:
    """The ids of conversations whose control strings were neutralised, the speaker's turns proved (`last`: the last).

    The proof: each of them decodes to the turn's text and the end token, else ParleyError names the row.
    """
    renderer, shift = template.renderer, template.shift
    rendered = [render(renderer, one, speaker=speaker, last=last, shift=shift) for one in conversations]
    encoded = []
    for conversation, (ids, starts) in zip(conversations, _ids(template, rendered), strict=True):
        try:
            ends = [ids.index(template.end_id, start, stop) for start, stop in pairwise([*starts, len(ids)])]
        except ValueError:
            raise ParleyError(
                f"{row_of(conversation)}: the chat template leaves an {speaker} turn without end token: {CHOOSE}"
            ) from None
        encoded.append(Encoded(ids, tuple((start, end + 1) for start, end in zip(starts, ends, strict=True))))
    decoded = _decode(template, [one.ids[start:stop] for one in encoded for start, stop in one.spans])
    prove(conversations, iter(decoded), speaker=speaker, end=template.end, last=last)
    return encoded


def encode_prompts(template: Template, conversations: Sequence[Conversation]) -> list[list[int]]:
    """The ids after which the assistant speaks next: the same as those before that answer in `encode`."""
    rendered = [render(template.renderer, one, prompt=True, shift=template.shift) for one in conversations]
    return [ids for ids, _ in _ids(template, rendered)]


def _ids(template: Template, rendered: Sequence[list[str]]) -> Iterator[tuple[list[int], list[int]]]:
    """Of each text the ids, and where in them each of the speaker's turns begins."""
    assert template.cutter is not None  # `template_of` made it
    begin, cut = BEGIN + template.lead, CUT + template.lead
    texts = [begin.join(pieces).replace(CUT, cut) for pieces in rendered]
    cut_id, begin_id = template.cutter.convert_tokens_to_ids([CUT, BEGIN])
    for text, pieces, ids in zip(texts, rendered, _tokenize(template.cutter, texts), strict=True):
        _take_out(ids, cut_id, template.skip, times=text.count(CUT))
        yield ids, _take_out(ids, begin_id, template.skip, times=len(pieces) - 1)


def _take_out(ids: list[int], mark: int, skip: int, *, times: int) -> list[int]:
    """Where `mark` stood in `ids`, so many times; it and what follows it, `skip` ids in all, are gone."""
    places, place = [], 0
    for _ in range(times):
        place = ids.index(mark, place)
        del ids[place : place + skip]
        places.append(place)
    return places


def _tokenize(tokenizer: "PreTrainedTokenizerBase", texts: list[str]) -> list[list[int]]:
    """The ids of bare texts. Straight from the Rust tokenizer where there is one: its wrapper takes a third more."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        options = {"add_special_tokens": False, "padding": False, "truncation": False, "return_attention_mask": False}
        return tokenizer(texts, verbose=False, **options)["input_ids"] if texts else []
    backend.no_truncation()
    backend.no_padding()
    return [found.ids for found in backend.encode_batch_fast(texts, add_special_tokens=False)]


def _decode(template: Template, spans: list[list[int]]) -> list[str]:
    backend = getattr(template.tokenizer, "backend_tokenizer", None)
    if backend is None:
        return template.tokenizer.batch_decode(spans, clean_up_tokenization_spaces=False)
    return backend.decode_batch(spans, skip_special_tokens=False)
