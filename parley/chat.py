r"""A conversation through a chat template: token ids, and where the speaker that is learned speaks.

The rendered text is cut where each of the speaker's turns begins and every piece is tokenized alone, because that is
where generation begins too: no token reaches across, and a prompt's ids are the same in training and in use.
In ChatML, cut at each `¦`, with what is trained in brackets:

    <|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n¦[hello<|im_end|>]\n<|im_start|>user\n...
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from parley.control import control_strings
from parley.conversation import Conversation, Turn
from parley.errors import ParleyError
from parley.proof import prove
from parley.rendering import CHOOSE, Speaker, render, row_of

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
    lead: str = ""  # goes before a piece, and its ids come off again, where the tokenizer adds a blank to bare text


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a conversation; `spans` are [start, stop) of each of the speaker's turns, end token included."""

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
        lead="" if newline + letter == both else "\n",
    )


def encode(
    template: Template, conversations: Sequence[Conversation], *, speaker: Speaker = "assistant"
) -> list[Encoded]:
    """The ids of conversations whose control strings were neutralised, the speaker's turns proved.

    The proof: each of them decodes to the turn's text and the end token, else ParleyError names the row.
    """
    rendered = [render(template.tokenizer, one, speaker=speaker, shift=template.shift) for one in conversations]
    encoded = []
    for conversation, (before, *turns) in zip(conversations, _ids(template, rendered), strict=True):
        ids, spans = before, []
        for turn in turns:
            if template.end_id not in turn:
                raise ParleyError(
                    f"{row_of(conversation)}: the chat template leaves an {speaker} turn without end token: {CHOOSE}"
                )
            spans.append((len(ids), len(ids) + turn.index(template.end_id) + 1))
            ids = ids + turn
        encoded.append(Encoded(ids, tuple(spans)))
    decoded = template.tokenizer.batch_decode(
        [one.ids[start:stop] for one in encoded for start, stop in one.spans], clean_up_tokenization_spaces=False
    )
    prove(conversations, iter(decoded), speaker=speaker, end=template.end)
    return encoded


def encode_prompts(template: Template, conversations: Sequence[Conversation]) -> list[list[int]]:
    """The ids after which the assistant speaks next: the same as those before that answer in `encode`."""
    rendered = [render(template.tokenizer, one, prompt=True, shift=template.shift) for one in conversations]
    return [[token for piece in pieces for token in piece] for pieces in _ids(template, rendered)]


def shorten(conversation: Conversation, fits: Callable[[Conversation], bool]) -> Conversation | None:
    """The conversation from the earliest user turn with which it fits, system prompt kept.

    None if not even its last exchange fits. `fits` is asked a few times: fewer turns must never be longer.
    """
    starts = [place for place, turn in enumerate(conversation.turns) if turn.role == "user"]
    tails = [replace(conversation, turns=conversation.turns[start:]) for start in starts]
    first = bisect_left(tails, True, key=fits)
    return tails[first] if first < len(tails) else None


def _ids(template: Template, rendered: Sequence[tuple[str, list[int]]]) -> Iterator[list[list[int]]]:
    """For each text the ids of its pieces: up to the speaker's first turn, then from each of those to the next."""
    pieces = [[text[a:b] for a, b in pairwise([0, *starts, len(text)])] for text, starts in rendered]
    flat = [template.lead * bool(place) + piece for text in pieces for place, piece in enumerate(text)]
    (lead,) = _tokenize(template, [template.lead])
    found = iter(_tokenize(template, flat))
    for text in pieces:
        yield [next(found)[len(lead) * bool(place) :] for place in range(len(text))]


def _tokenize(template: Template, texts: list[str]) -> list[list[int]]:
    if not texts:
        return []
    return template.tokenizer(
        texts, add_special_tokens=False, padding=False, truncation=False, return_attention_mask=False, verbose=False
    )["input_ids"]
