"""A conversation through a chat template, as text, and where in it each turn of one speaker begins."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Literal

from parley.conversation import Conversation, to_chat
from parley.errors import ParleyError

if TYPE_CHECKING:
    from jinja2 import Template as Jinja
    from transformers import PreTrainedTokenizerBase

Speaker = Literal["assistant", "user"]  # whose turns are learned
CHOOSE = "choose another in model.template"
# Code points that are no characters, so that no text has them: around what stands between generation markers, and
# around the number of a turn in its place.
BEGIN, END, SLOT = "\ufdd1", "\ufdd2", "\ufdd3"
_MARKER = re.compile(r"\{#.*?#\}|\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}", re.DOTALL)  # TRL's comments name them
_DAY = datetime(
    2024, 7, 26
)  # what templates that ask for today get, as Llama 3.1's does by itself: same rows, same bytes


def row_of(conversation: Conversation) -> str:
    """How errors name a conversation."""
    return f"{conversation.source or 'data'} (conversation {conversation.id})"


@dataclass(frozen=True, slots=True)
class Renderer:
    """A tokenizer's chat template, and the names of its special tokens, which templates write: looked up once."""

    plain: str
    with_tools: str  # for conversations that have tools
    tokens: Mapping[str, str]


def renderer_of(tokenizer: "PreTrainedTokenizerBase") -> Renderer:
    """Renders as the tokenizer is now; a template that it gets later is not seen."""
    plain, with_tools = tokenizer.get_chat_template(), tokenizer.get_chat_template(tools=[])
    return Renderer(plain, with_tools, tokenizer.special_tokens_map)


def render(
    renderer: Renderer,
    conversation: Conversation,
    *,
    speaker: Speaker = "assistant",
    last: bool = False,
    prompt: bool = False,
    shift: int = 0,
) -> list[str]:
    """The template's text (`prompt`: and its generation prompt), cut where each of the speaker's turns begins.

    last: cut only where the last of them does; earlier ones may then be shown in another way, as Qwen3 does with
    thoughts.

    The assistant's turns begin at the template's generation markers if it has them, `shift` characters behind; else an
    answer begins where the text of all turns before it, with the generation prompt, ends. The user's are found
    by rendering the conversation with marks in place of what the user says.
    """
    messages = to_chat(conversation)
    tools = json.loads(conversation.tools) if conversation.tools else None
    source = renderer.plain if tools is None else renderer.with_tools

    def text_of(part: list[dict[str, Any]], *, prompt: bool) -> str:
        return _text_of(renderer, source, conversation, part, tools, prompt=prompt)

    marked = text_of(messages, prompt=prompt)
    said = [place for place, message in enumerate(messages) if message["role"] == speaker]
    wanted = said[-1:] if last else said
    if speaker == "assistant" and _compiled(source)[1]:
        # Markers that touch belong to one turn.
        pieces = marked.replace(END + BEGIN, "").replace(END, "").split(BEGIN)
        if shift:
            pieces = _cut("".join(pieces), [place + shift for place in accumulate(map(len, pieces[:-1]))])
    else:
        text = _plain(marked)
        if speaker == "user":
            swapped = [{**m, "content": SLOT} if m["role"] == "user" else m for m in messages]
            skeleton = _plain(text_of(swapped, prompt=prompt))
            starts = _slots(skeleton, text, [messages[place]["content"] for place in said])
        else:
            prompts = [text_of(messages[:place], prompt=True) for place in wanted]
            starts = [len(before) for before in prompts if text.startswith(before)]
        pieces = _cut(text, starts)
    if last and len(pieces) > 1:
        pieces = ["".join(pieces[:-1]), pieces[-1]]
    if len(pieces) - 1 != len(wanted):
        raise ParleyError(
            f"{row_of(conversation)}: of {len(wanted)} {speaker} turns, {len(pieces) - 1} are found again in the chat "
            f"template's text: {CHOOSE}, one with generation markers"
        )
    return pieces


def _plain(marked: str) -> str:
    return marked.replace(BEGIN, "").replace(END, "")


def _cut(text: str, starts: list[int]) -> list[str]:
    return [text[start:stop] for start, stop in pairwise([0, *starts, len(text)])]


def _slots(skeleton: str, text: str, contents: list[str]) -> list[int]:
    """Where in `text` each content begins that has a SLOT in `skeleton`; fewer where the template changes one."""
    first, *literals = skeleton.split(SLOT)
    starts: list[int] = []
    if len(literals) != len(contents) or not text.startswith(first):
        return starts
    place = len(first)
    for content, literal in zip(contents, literals, strict=True):
        kept = next((form for form in (content, content.strip()) if text.startswith(form + literal, place)), None)
        if kept is None:
            return starts
        starts.append(place)
        place += len(kept) + len(literal)
    return starts


@lru_cache(maxsize=64)
def _compiled(source: str) -> "tuple[Jinja, bool]":
    """The template with BEGIN and END for its generation markers, and whether it has any.

    transformers' environment, filters and limits; its own way of tracking the markers takes twice the time.
    """
    from transformers.utils.chat_template_utils import _compile_jinja_template

    def mark(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        # Between comments, since blanks are trimmed around them as around the tags of blocks.
        return f"{{#{match[1]} #}}{{{{ '{END if match[2] else BEGIN}' }}}}{{# {match[3]}#}}"

    marks = _MARKER.sub(mark, source)
    compiled = _compile_jinja_template(marks)
    compiled.globals = dict(compiled.globals)  # a ChainMap, whose copying took half the time of a short conversation
    return compiled, marks != source


def _text_of(
    renderer: Renderer,
    source: str,
    conversation: Conversation,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None,
    *,
    prompt: bool,
) -> str:
    """The text of some messages, with BEGIN and END where the template has generation markers."""
    from jinja2 import TemplateError

    try:
        return _compiled(source)[0].render(
            messages=messages,
            tools=tools,
            documents=None,
            add_generation_prompt=prompt,
            strftime_now=_DAY.strftime,
            **renderer.tokens,
        )
    except TemplateError as error:
        # Words of the template itself may be shown; any others could be a turn's.
        said = str(error) if str(error) in source else type(error).__name__
        raise ParleyError(f"{row_of(conversation)}: the chat template refuses it: {said}") from None
