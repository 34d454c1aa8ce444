"""turn_detector: a conversation becomes what a voice agent hears: turns of the user that have ended, and that have not.

Of assistant "When?", user "At ten, or a bit later." come, each behind the messages before it (6 in all, at most):

    ended        at ten or a bit later           label end_of_turn: yes
    not ended    at ten or                       label end_of_turn: no, turn weight -1: encode.loss eou then makes the
                                                 end token unlikely after it

A cut falls between words (characters, in scripts without blanks), after at least two, not where a sentence ends, and
rather behind a connective; one that equals something the user says in full is dropped. Everything is written as
parley.specialists.turn_text says, but for a share that stays raw, so that a recogniser that punctuates works too.
Choices depend on the conversation's id alone. A conversation that is labelled end_of_turn already is only written so,
and not cut.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from pydantic import Field

from parley.conversation import Conversation, Dropped, Turn
from parley.conversion.languages import language_of
from parley.params import Section
from parley.specialists.turn_text import MESSAGES, is_unspaced, merged, normalise, pieces

FEWEST = 2  # pieces that a cut leaves
_SENTENCE_END = re.compile(r"[.!?…。！？।॥؟]['\"”’)»]*$")
# Words after which nobody has finished; the first list is of fillers, which may be put in.
_FILLERS = {
    "en": "um uh er hmm",
    "bn": "মানে ইয়ে আচ্ছা",
    "de": "äh ähm hm",
    "es": "eh este pues",
    "fr": "euh ben hein",
    "hi": "मतलब उम्म",
    "zh": "嗯 呃 那个",
    "th": "เอ่อ อืม",
}
_CONNECTIVES = {
    "en": "a an the and or but so because if that which when while to of for with in on at from by as my your our is "
    "are was it's i'd i'll can could would will i we about into than like just",
    "bn": "আর এবং কিন্তু বা অথবা যদি যে কারণ তাই আমার আপনার একটা একটি জন্য সাথে থেকে আমি আমরা এই ওই",
    "de": "und oder aber weil wenn dass der die das ein eine zu für mit in auf an von ich mein",
    "es": "y o pero porque si que el la los las un una de para con en a por mi",
    "fr": "et ou mais parce si que le la les un une de pour avec dans à mon ma je",
    "hi": "और या लेकिन अगर कि क्योंकि का की के में से को मेरा मैं",
    "zh": "和 但 因 所 如 的 在 我 把 跟 想 要",
    "th": "และ หรือ แต่",
}


class Params(Section):
    """Section `transforms.turn_detector`."""

    cuts: int = Field(ge=0, le=8)
    fillers: float = Field(ge=0, le=1)
    raw: float = Field(ge=0, le=1)


def apply(conversation: Conversation, **options: Any) -> list[Conversation]:
    """Each user turn of a conversation, ended and not; Dropped for one without any.

    options: the fields of Params.
    """
    params = Params(**options)
    turns = merged(conversation.turns, plain=False)
    labels = dict(conversation.labels)
    language = labels.get("language") or language_of(" ".join(turn.text for turn in turns)) or "und"
    labels["language"] = language
    conversation = replace(conversation, labels=labels, group=conversation.group or conversation.id)
    if not any(turn.role == "user" and normalise(turn.text) for turn in turns):
        raise Dropped("no_user_turn")
    if labels.get("end_of_turn"):
        if turns[-1].role != "user" or not normalise(turns[-1].text):
            raise Dropped("labelled_turn_is_not_the_users")
        return [_made(conversation, turns, turns[-1].text, "labelled", labels["end_of_turn"], params)]
    complete = {
        normalise(text) for turn in turns for text in (turn.text, *re.split(r"(?<=[.!?。！？।])\s*", turn.text))
    }
    made = []
    for place, turn in enumerate(turns):
        if turn.role != "user" or not normalise(turn.text):
            continue
        said, name = turns[: place + 1], f"{conversation.id}+{place}"
        whole, cuts = _hesitant(turn.text, name, language, params), _cuts(turn.text, name, language, params, complete)
        made.append(_made(conversation, said, whole, f"{place}-end", "yes", params))
        for number, text in enumerate(cuts):
            made.append(_made(conversation, said, text, f"{place}-cut{number}", "no", params))
    return made


def _made(
    conversation: Conversation, said: Sequence[Turn], text: str, name: str, ended: str, params: Params
) -> Conversation:
    """The last messages, the last of them `text`; only its end is learnt, for or against."""
    id = f"{conversation.id}+{name}"
    raw = _chance(id, "raw") < params.raw
    # In two steps, since a message of punctuation alone vanishes and its neighbours may then be of one role.
    turns = merged([*said[:-1], replace(said[-1], text=text)][-MESSAGES:], plain=not raw)
    last = replace(turns[-1], weight=1.0 if ended == "yes" else -1.0)
    before = tuple(replace(turn, weight=0.0) for turn in turns[:-1])
    labels = {**conversation.labels, "end_of_turn": ended, "text": "raw" if raw else "plain"}
    return replace(conversation, id=id, turns=(*before, last), system="", tools="", labels=labels)


def _cuts(text: str, name: str, language: str, params: Params, complete: set[str]) -> Iterator[str]:
    """At most params.cuts beginnings of the text, those behind a connective first."""
    spans, fillers = pieces(text), _words(_FILLERS, language)
    stops = {*_words(_CONNECTIVES, language), *fillers}
    places = [stop for _, stop in spans[FEWEST - 1 : -1] if not _SENTENCE_END.search(text[:stop])]
    starts = {stop: start for start, stop in spans}
    order = sorted(places, key=lambda stop: (normalise(text[starts[stop] : stop]) not in stops, _chance(name, stop)))
    for stop in islice((stop for stop in order if normalise(text[:stop]) not in complete), params.cuts):
        add = fillers and _chance(name, stop, "filler") < params.fillers
        yield _with_filler(text[:stop], stop, fillers, f"{name} {stop}") if add else text[:stop]


def _hesitant(text: str, name: str, language: str, params: Params) -> str:
    """The text, with a filler between two of its words for a share of all."""
    fillers, places = _words(_FILLERS, language), [stop for _, stop in pieces(text)[:-1]]
    if not fillers or not places or _chance(name, "filler") >= params.fillers:
        return text
    return _with_filler(text, places[int(_chance(name, "place") * len(places))], fillers, name)


def _with_filler(text: str, place: int, fillers: list[str], name: str) -> str:
    filler = fillers[int(_chance(name, "which") * len(fillers))]
    blank = "" if is_unspaced(filler) else " "
    return text[:place] + blank + filler + text[place:]


def _words(table: dict[str, str], language: str) -> list[str]:
    return table.get(language, "").split()


def _chance(*key: object) -> float:
    """A number in [0, 1) that depends on the key only: adding a conversation changes no other's."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:6], "big") / 2**48
