r"""A conversation through a chat template: token ids, and where the speaker that is learned speaks.

The rendered text is cut where each of the speaker's turns begins and every piece is tokenized alone, because that is
where generation begins too: no token reaches across, and a prompt's ids are the same in training and in use.
In ChatML, cut at each `¦`, with what is trained in brackets:

    <|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n¦[hello<|im_end|>]\n<|im_start|>user\n...
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from parley.conversation import Conversation, Turn
from parley.encoding.control import CUT, control_strings
from parley.encoding.proof import prove
from parley.encoding.rendering import CHOOSE, Speaker, render, row_of
from parley.errors import ParleyError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Template:
    """A tokenizer's chat template, and what `template_of` found out about it."""

    tokenizer: "PreTrainedTokenizerBase"
    control: re.Pattern[str]  # every string that the tokenizer turns into a control token
    end: str = ""  # the end token of an assistant's turn
    end_id: int = -1
    shift: int = 0  # characters from a generation marker to where the generation prompt ends
    shows_tools: bool = False  # that are given beside the conversation
    lead: str = ""  # goes before a piece, and its ids come off again, where the tokenizer adds a blank to bare text


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
    template = Template(tokenizer, control_strings(tokenizer))
    trial = Conversation("trial", (Turn("user", "question"), Turn("assistant", "answer")))
    text, starts = render(tokenizer, trial)
    prompt, _ = render(tokenizer, replace(trial, turns=trial.turns[:1]), prompt=True)
    if not text.startswith(prompt) or "answer" not in text:
        raise ParleyError(f"the chat template's generation prompt is not how its assistant turn begins: {CHOOSE}")
    end = template.control.search(text, text.rindex("answer"))
    if end is None:
        raise ParleyError(
            "the chat template ends the assistant's turn with no control token of this tokenizer, so the model "
            f"would never learn to stop: {CHOOSE}"
        )
    newline, letter, both = _tokenize(template, ["\n", "a", "\na"])
    return replace(
        template,
        end=end[0],
        end_id=tokenizer.convert_tokens_to_ids(end[0]),
        shift=len(prompt) - starts[0],
        shows_tools="tools" in tokenizer.get_chat_template(tools=[]),
        lead="" if newline + letter == both else "\n",
    )


def encode(
    template: Template, conversations: Sequence[Conversation], *, speaker: Speaker = "assistant", last: bool = False
) -> list[Encoded]:
    """The ids of conversations whose control strings were neutralised, the speaker's turns proved (`last`: the last).

    The proof: each of them decodes to the turn's text and the end token, else ParleyError names the row.
    """
    tokenizer, shift = template.tokenizer, template.shift
    rendered = [render(tokenizer, one, speaker=speaker, last=last, shift=shift) for one in conversations]
    encoded = []
    for conversation, (ids, *turns) in zip(conversations, _ids(template, rendered), strict=True):
        spans = []
        for turn in turns:
            if template.end_id not in turn:
                raise ParleyError(
                    f"{row_of(conversation)}: the chat template leaves an {speaker} turn without end token: {CHOOSE}"
                )
            spans.append((len(ids), len(ids) + turn.index(template.end_id) + 1))
            ids += turn
        encoded.append(Encoded(ids, tuple(spans)))
    decoded = _decode(template, [one.ids[start:stop] for one in encoded for start, stop in one.spans])
    prove(conversations, iter(decoded), speaker=speaker, end=template.end, last=last)
    return encoded


def encode_prompts(template: Template, conversations: Sequence[Conversation]) -> list[list[int]]:
    """The ids after which the assistant speaks next: the same as those before that answer in `encode`."""
    rendered = [render(template.tokenizer, one, prompt=True, shift=template.shift) for one in conversations]
    return [[token for piece in pieces for token in piece] for pieces in _ids(template, rendered)]


def _ids(template: Template, rendered: Sequence[tuple[str, list[int]]]) -> Iterator[list[list[int]]]:
    """For each text the ids of its pieces: up to the speaker's first turn, then from each of those to the next."""
    lead, flat, shape = template.lead, [], []
    for text, starts in rendered:
        pieces = [text[a:b].split(CUT) for a, b in pairwise([0, *starts, len(text)])]
        shape.append([len(parts) for parts in pieces])
        flat += [lead + part for parts in pieces for part in parts]
        flat[len(flat) - sum(shape[-1])] = pieces[0][0]  # nothing goes before the text itself
    skip = len(_tokenize(template, [lead])[0]) if lead else 0
    found = iter(_tokenize(template, flat))
    for counts in shape:
        ids_of: list[list[int]] = []
        for place, count in enumerate(counts):
            ids = next(found)[skip * bool(place) :]
            for _ in range(count - 1):
                ids = ids + next(found)[skip:]
            ids_of.append(ids)
        yield ids_of


def _tokenize(template: Template, texts: list[str]) -> list[list[int]]:
    """The ids of bare texts. Straight from the Rust tokenizer where there is one: its wrapper takes a third more."""
    backend = getattr(template.tokenizer, "backend_tokenizer", None)
    if backend is None:
        options = {"add_special_tokens": False, "padding": False, "truncation": False, "return_attention_mask": False}
        return template.tokenizer(texts, verbose=False, **options)["input_ids"] if texts else []
    backend.no_truncation()
    backend.no_padding()
    return [found.ids for found in backend.encode_batch_fast(texts, add_special_tokens=False)]


def _decode(template: Template, spans: list[list[int]]) -> list[str]:
    backend = getattr(template.tokenizer, "backend_tokenizer", None)
    if backend is None:
        return template.tokenizer.batch_decode(spans, clean_up_tokenization_spaces=False)
    return backend.decode_batch(spans, skip_special_tokens=False)
