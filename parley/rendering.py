"""A conversation through a chat template, as text, and where in it each turn of one speaker begins."""

import json
import re
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from parley.conversation import Conversation, to_chat
from parley.errors import ParleyError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Speaker = Literal["assistant", "user"]  # whose turns are learned
CHOOSE = "choose another in model.template"
_MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")
_DAY = datetime(
    2024, 7, 26
)  # what templates that ask for today get, as Llama 3.1's does by itself: same rows, same bytes


def row_of(conversation: Conversation) -> str:
    """How errors name a conversation."""
    return f"{conversation.source or 'data'} (conversation {conversation.id})"


def render(
    tokenizer: "PreTrainedTokenizerBase",
    conversation: Conversation,
    *,
    speaker: Speaker = "assistant",
    prompt: bool = False,
    shift: int = 0,
) -> tuple[str, list[int]]:
    """The template's text (`prompt`: and its generation prompt), and where in it each of the speaker's turns begins.

    The assistant's come from the template's generation markers if it has them, `shift` characters behind; else an
    answer begins where the text of all turns before it, with the generation prompt, ends. The user's are found
    by rendering the conversation with marks in place of what the user says.
    """
    messages = to_chat(conversation)
    tools = json.loads(conversation.tools) if conversation.tools else None
    source = tokenizer.get_chat_template(tools=tools)
    marked = speaker == "assistant" and bool(_MARKER.search(source))

    def text_of(part: list[dict[str, Any]], *, prompt: bool, marked: bool = False) -> tuple[str, list[tuple[int, int]]]:
        return _text_of(tokenizer, source, conversation, part, tools, prompt=prompt, marked=marked)

    text, spans = text_of(messages, prompt=prompt, marked=marked)
    said = [place for place, message in enumerate(messages) if message["role"] == speaker]
    if marked:
        # Markers that touch belong to one turn.
        starts = [start + shift for start, _ in spans if start not in {stop for _, stop in spans}]
    elif speaker == "assistant":
        prompts = [text_of(messages[:place], prompt=True)[0] for place in said]
        starts = [len(before) for before in prompts if text.startswith(before)]
    else:
        marks = {place: f"\ue000{place}\ue001" for place in said}
        swapped = [{**m, "content": marks[place]} if place in marks else m for place, m in enumerate(messages)]
        skeleton, _ = text_of(swapped, prompt=prompt)
        starts = _slots(skeleton, text, [(marks[place], messages[place]["content"]) for place in said])
    if len(starts) != len(said):
        raise ParleyError(
            f"{row_of(conversation)}: of {len(said)} {speaker} turns, {len(starts)} are found again in the chat "
            f"template's text: {CHOOSE}, one with generation markers"
        )
    return text, starts


def _slots(skeleton: str, text: str, slots: list[tuple[str, str]]) -> list[int]:
    """Where in `text` each content begins that has a mark in `skeleton`; fewer where the template changes it."""
    starts: list[int] = []
    ends = [skeleton.find(mark) for mark, _ in slots]
    if -1 in ends:
        return []
    bounds = [0, *ends, len(skeleton)]
    place = ends[0] if ends else 0
    for (mark, content), (start, stop) in zip(slots, pairwise(bounds[1:]), strict=True):
        between = skeleton[start + len(mark) : stop]
        kept = next((form for form in (content, content.strip()) if text.startswith(form + between, place)), None)
        if kept is None:
            return starts
        starts.append(place)
        place += len(kept) + len(between)
    return starts


def _text_of(
    tokenizer: "PreTrainedTokenizerBase",
    source: str,
    conversation: Conversation,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None,
    *,
    prompt: bool,
    marked: bool,
) -> tuple[str, list[tuple[int, int]]]:
    """The text of some messages, and the spans between generation markers if asked."""
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    try:
        (text,), spans = render_jinja_template(
            conversations=[messages],
            tools=tools,
            chat_template=source,
            add_generation_prompt=prompt,
            return_assistant_tokens_mask=marked,
            strftime_now=_DAY.strftime,
            **tokenizer.special_tokens_map,
        )
    except TemplateError as error:
        # Words of the template itself may be shown; any others could be a turn's.
        said = str(error) if str(error) in source else type(error).__name__
        raise ParleyError(f"{row_of(conversation)}: the chat template refuses it: {said}") from None
    return text, spans[0] if marked else []
