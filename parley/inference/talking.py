"""Talking with a model: an answer piece by piece as it is written, and where it ends.

Heavy imports sit inside functions.
"""

import re
from collections.abc import Generator, Iterable, Iterator
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from parley.conversation import Conversation, Turn
from parley.encoding.chat import Template
from parley.encoding.control import neutralise
from parley.encoding.rendering import render
from parley.errors import ParleyError
from parley.inference.generation import Sampling, context_length, fitted, set_generation

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def prompt_ids(
    model: "PreTrainedModel", template: Template, conversation: Conversation, sampling: Sampling
) -> list[int]:
    """The ids after which the assistant speaks; typed control strings are text, and the oldest turns make room."""
    context = context_length(model)
    if sampling.max_new_tokens >= context:
        raise ParleyError(
            f"max_new_tokens: found {sampling.max_new_tokens}, but the model sees only {context} tokens at once, "
            "prompt included: lower it"
        )
    clean, _ = neutralise(template.control, conversation)
    return fitted(template, clean, context - sampling.max_new_tokens)[0]


def stop_strings(template: Template) -> list[str]:
    """Texts that no answer goes on behind: how the template opens a user's turn, where that is no control token.

    Of ChatML none, since <|im_start|> is one; "[INST]" of Llama 2, "### Instruction:" of Alpaca.
    """
    turns = (Turn("user", "question"), Turn("assistant", "answer"), Turn("user", "further"))
    text = "".join(render(template.renderer, Conversation("trial", turns)))
    between = text[text.rindex("answer") + len("answer") : text.rindex("further")]
    opener = template.control.sub("", between).strip()
    return [opener] if re.search(r"[^\w\s]", opener) else []


def until(pieces: Iterable[str], stops: Iterable[str]) -> Iterator[str]:
    """The pieces up to the first of the stop strings, also where one comes in several pieces."""
    stops, held = list(stops), ""
    for piece in pieces:
        held += piece
        if found := [place for stop in stops if (place := held.find(stop)) >= 0]:
            yield held[: min(found)]
            return
        begun = max((n for stop in stops for n in range(1, len(stop)) if held.endswith(stop[:n])), default=0)
        yield held[: len(held) - begun]
        held = held[len(held) - begun :]
    yield held


class _Tokens:
    """What generate() puts its tokens into, the prompt first; read from another thread. None is the end."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[list[int] | None] = SimpleQueue()

    def put(self, ids: "torch.Tensor") -> None:
        self.queue.put(ids.flatten().tolist())

    def end(self) -> None:
        self.queue.put(None)


def stream(
    model: "PreTrainedModel", template: Template, conversation: Conversation, sampling: Sampling
) -> Generator[str, None, None]:
    """The answer to the conversation's last turn as it is written; closing the iterator stops the model."""
    import torch
    from transformers import StoppingCriteriaList

    ids = torch.tensor([prompt_ids(model, template, conversation, sampling)], device=model.device)
    set_generation(model, template, sampling)
    tokens, stopped, failed = _Tokens(), Event(), []

    def asked_to_stop(ids: "torch.Tensor", scores: Any, **_: Any) -> "torch.Tensor":
        return torch.full((ids.shape[0],), stopped.is_set(), device=ids.device)

    def write() -> None:
        try:
            with torch.no_grad():
                model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    streamer=tokens,
                    stopping_criteria=StoppingCriteriaList([asked_to_stop]),
                )
        except Exception as error:  # raised again where the pieces are read
            failed.append(error)
            tokens.end()

    thread = Thread(target=write, daemon=True)
    thread.start()
    try:
        yield from filter(None, until(_texts(template, tokens.queue), stop_strings(template)))
    finally:
        stopped.set()
        thread.join()
    if failed:
        raise failed[0]


def _texts(template: Template, queue: "SimpleQueue[list[int] | None]") -> Iterator[str]:
    """What each token adds to the answer's text; the first parts of a character wait for its last."""
    written: list[int] = []
    text, shown = "", 0
    queue.get()  # the prompt
    while (ids := queue.get()) is not None:
        written += ids
        text = template.tokenizer.decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        if not text.endswith("\ufffd"):
            yield text[shown:]
            shown = len(text)
    yield text[shown:]  # of a character that max_new_tokens cut in two, as an answer in one piece shows it
