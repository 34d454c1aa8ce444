r"""A conversation through a chat template: token ids, and where the assistant speaks.

The rendered text is cut where each answer begins and every piece is tokenized alone, because that is where
generation begins too: no token reaches across, and a prompt's ids are the same in training and in use.
In ChatML, cut at each `¦`, with what is trained in brackets:

    <|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n¦[hello<|im_end|>]\n<|im_start|>user\n...
"""

import json
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from parley.conversation import Conversation, ToolCall, Turn, to_chat
from parley.errors import ParleyError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

JOINER = "\u2060"  # word joiner: invisible and without width
_MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")
_CHOOSE = "choose another in model.template"


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
    """Token ids of a conversation; `answers` are [start, stop) of each assistant turn, end token included."""

    ids: list[int]
    answers: tuple[tuple[int, int], ...]

    def labels(self) -> list[int]:
        """The ids where the assistant speaks, else -100; as long as `ids`, not shifted."""
        labels = [-100] * len(self.ids)
        for start, stop in self.answers:
            labels[start:stop] = self.ids[start:stop]
        return labels


def template_of(tokenizer: "PreTrainedTokenizerBase") -> Template:
    """The tokenizer's chat template, tried on a short conversation.

    Raises ParleyError if there is none, if it ends the assistant's turn with no control token, or if its
    generation prompt is not how the assistant's turn begins.
    """
    if not tokenizer.chat_template:
        raise ParleyError(f"the tokenizer {tokenizer.name_or_path} has no chat template: name one in model.template")
    template = Template(tokenizer, _control_strings(tokenizer))
    trial = Conversation("trial", (Turn("user", "question"), Turn("assistant", "answer")))
    text, starts = _render(template, trial)
    prompt, _ = _render(template, replace(trial, turns=trial.turns[:1]), prompt=True)
    if not text.startswith(prompt) or "answer" not in text:
        raise ParleyError(f"the chat template's generation prompt is not how its assistant turn begins: {_CHOOSE}")
    end = template.control.search(text, text.rindex("answer"))
    if end is None:
        raise ParleyError(
            "the chat template ends the assistant's turn with no control token of this tokenizer, so the model "
            f"would never learn to stop: {_CHOOSE}"
        )
    newline, letter, both = _tokenize(template, ["\n", "a", "\na"])
    return replace(
        template,
        end=end[0],
        end_id=tokenizer.convert_tokens_to_ids(end[0]),
        shift=len(prompt) - starts[0],
        lead="" if newline + letter == both else "\n",
    )


def _control_strings(tokenizer: "PreTrainedTokenizerBase") -> re.Pattern[str]:
    strings = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    # Runs of blanks and single characters are ordinary vocabulary in some tokenizers, and control nothing.
    strings = {string for string in strings if len(string) > 1 and string.strip(" \t\r\n\u2581")}
    longest_first = sorted(strings, key=lambda string: (-len(string), string))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def neutralise(template: Template, conversation: Conversation) -> tuple[Conversation, int]:
    """The conversation with a word joiner inside each control string that somebody typed, and how many there were."""
    found = 0

    def clean(value: Any) -> Any:
        nonlocal found
        if isinstance(value, str):
            # Again until none is left: a broken string can leave one that overlapped it.
            while (result := template.control.subn(_broken, value))[1]:
                value = result[0]
                found += result[1]
            return value
        if isinstance(value, Mapping):
            return {clean(key): clean(inner) for key, inner in value.items()}
        return [clean(inner) for inner in value] if isinstance(value, list) else value

    turns = tuple(
        replace(
            turn, text=clean(turn.text), calls=tuple(ToolCall(clean(c.name), clean(c.arguments)) for c in turn.calls)
        )
        for turn in conversation.turns
    )
    # The template sees the tools decoded, so an escape in the JSON must not hide a control string.
    tools = json.dumps(clean(json.loads(conversation.tools)), ensure_ascii=False) if conversation.tools else ""
    cleaned = replace(conversation, turns=turns, system=clean(conversation.system), tools=tools)
    return (cleaned if found else conversation), found


def _broken(match: re.Match[str]) -> str:
    return match[0][0] + JOINER + match[0][1:]


def encode(template: Template, conversations: Sequence[Conversation]) -> list[Encoded]:
    """The ids of conversations whose control strings were neutralised, their answers proved.

    The proof: each answer decodes to the assistant turn's text and the end token, else ParleyError names the row.
    """
    rendered = [_render(template, conversation) for conversation in conversations]
    encoded = []
    for conversation, (prompt, *answers) in zip(conversations, _ids(template, rendered), strict=True):
        ids, spans = prompt, []
        for answer in answers:
            if template.end_id not in answer:
                raise ParleyError(f"{_row(conversation)}: the chat template leaves an assistant turn without end token")
            spans.append((len(ids), len(ids) + answer.index(template.end_id) + 1))
            ids = ids + answer
        encoded.append(Encoded(ids, tuple(spans)))
    _prove(template, conversations, encoded)
    return encoded


def encode_prompts(template: Template, conversations: Sequence[Conversation]) -> list[list[int]]:
    """The ids after which the assistant speaks next: the same as those before that answer in `encode`."""
    rendered = [_render(template, conversation, prompt=True) for conversation in conversations]
    return [[token for piece in pieces for token in piece] for pieces in _ids(template, rendered)]


def shorten(conversation: Conversation, fits: Callable[[Conversation], bool]) -> Conversation | None:
    """The conversation from the earliest user turn with which it fits, system prompt kept.

    None if not even its last exchange fits. `fits` is asked a few times: fewer turns must never be longer.
    """
    starts = [place for place, turn in enumerate(conversation.turns) if turn.role == "user"]
    tails = [replace(conversation, turns=conversation.turns[start:]) for start in starts]
    first = bisect_left(tails, True, key=fits)
    return tails[first] if first < len(tails) else None


def _render(template: Template, conversation: Conversation, *, prompt: bool = False) -> tuple[str, list[int]]:
    """The template's text (`prompt`: and its generation prompt), and where in it each answer begins.

    The places come from the template's generation markers if it has them; else an answer begins where the
    text of all turns before it, with the generation prompt, ends.
    """
    messages = to_chat(conversation)
    tools = json.loads(conversation.tools) if conversation.tools else None
    source = template.tokenizer.get_chat_template(tools=tools)
    marked = bool(_MARKER.search(source))

    def render(part: list[dict[str, Any]], *, prompt: bool, marked: bool) -> tuple[str, list[tuple[int, int]]]:
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        try:
            (text,), spans = render_jinja_template(
                conversations=[part],
                tools=tools,
                chat_template=source,
                add_generation_prompt=prompt,
                return_assistant_tokens_mask=marked,
                **template.tokenizer.special_tokens_map,
            )
        except TemplateError as error:
            # Words of the template itself may be shown; any others could be a turn's.
            said = str(error) if str(error) in source else type(error).__name__
            raise ParleyError(f"{_row(conversation)}: the chat template refuses it: {said}") from None
        return text, spans[0] if marked else []

    text, spans = render(messages, prompt=prompt, marked=marked)
    answers = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    if marked:
        # Markers that touch belong to one turn.
        starts = [start + template.shift for start, _ in spans if start not in {stop for _, stop in spans}]
    else:
        prompts = [render(messages[:place], prompt=True, marked=False)[0] for place in answers]
        starts = [len(before) for before in prompts if text.startswith(before)]
    if len(starts) != len(answers):
        raise ParleyError(
            f"{_row(conversation)}: of {len(answers)} assistant turns, {len(starts)} are found again in the chat "
            f"template's text: {_CHOOSE}, one with generation markers"
        )
    return text, starts


def _ids(template: Template, rendered: Sequence[tuple[str, list[int]]]) -> Iterator[list[list[int]]]:
    """For each text the ids of its pieces: up to the first answer, then from each answer to the next."""
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


def _prove(template: Template, conversations: Sequence[Conversation], encoded: Sequence[Encoded]) -> None:
    """Raises ParleyError for the first row whose answers do not decode to the assistant turns' text and end token."""
    spans = [one.ids[start:stop] for one in encoded for start, stop in one.answers]
    decoded = iter(template.tokenizer.batch_decode(spans, clean_up_tokenization_spaces=False))
    for conversation in conversations:
        for place, turn in enumerate(conversation.turns):
            if turn.role == "assistant" and not _says(next(decoded), turn, template.end):
                raise ParleyError(
                    f"{_row(conversation)}: what would be trained of turn {place} does not decode to that turn and "
                    f"its end token ({len(turn.text)} characters, {len(turn.calls)} calls): the chat template or the "
                    f"tokenizer changes it; {_CHOOSE}, or remove the row"
                )


def _says(decoded: str, turn: Turn, end: str) -> bool:
    """Whether the text is the turn's, then the end token; with calls, whether it also holds all that they hold."""
    said = decoded.removesuffix(end)
    if said == decoded:
        return False
    if not turn.calls:
        return said == turn.text or _plain(said) == _plain(turn.text)
    return _plain(said).startswith(_plain(turn.text)) and all(
        part in said or json.dumps(part, ensure_ascii=False)[1:-1] in said
        for call in turn.calls
        for part in (call.name, *_strings(call.arguments))
    )


def _plain(text: str) -> str:
    """The text as any tokenizer may give it back: normal form, outer blanks, SentencePiece's blank."""
    return unicodedata.normalize("NFKC", text.replace("\u2581", " ")).strip()


def _strings(value: Any) -> Iterator[str]:
    """Every string in nested JSON, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in [*value, *value.values()] if isinstance(value, Mapping) else value:
            yield from _strings(inner)


def _row(conversation: Conversation) -> str:
    return f"{conversation.source or 'data'} (conversation {conversation.id})"
