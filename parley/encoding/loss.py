"""What of an encoded conversation is trained, and how much each token counts."""

from dataclasses import dataclass
from typing import Literal

from parley.conversation import Conversation
from parley.encoding.chat import Encoded
from parley.encoding.packing import IGNORED
from parley.encoding.rendering import Speaker

Loss = Literal[
    "assistant",  # every turn of the assistant, end token included
    "last_turn",  # the assistant's last turn only
    "all",  # every token, those of the template too
    "user_turns",  # every turn of the user, end token included: an end-of-turn detector
    "eou",  # the end token of the user's last turn only, likely or unlikely by that turn's weight
]


@dataclass(frozen=True, slots=True)
class Targets:
    """labels: the ids where something is trained, else -100, not shifted. weights: one a token; None if all are 1."""

    labels: list[int]
    weights: list[float] | None


def speaker_of(loss: Loss) -> Speaker:
    """Whose turns the loss is about."""
    return "user" if loss in ("user_turns", "eou") else "assistant"


def only_last(loss: Loss) -> bool:
    """Whether nothing but the speaker's last turn is trained."""
    return loss in ("last_turn", "eou")


def targets_of(loss: Loss, encoded: Encoded, conversation: Conversation) -> Targets:
    """The labels and weights of a conversation encoded for this loss. A turn of weight 0 is read and not trained."""
    ids, speaker = encoded.ids, speaker_of(loss)
    labels = ids[:] if loss == "all" else [IGNORED] * len(ids)
    given = [turn.weight for turn in conversation.turns if turn.role == speaker]
    given = given[len(given) - len(encoded.spans) :]
    parts = []
    for weight, (start, stop) in zip(given, encoded.spans, strict=True):
        # A turn of the user that has not ended is against its end, not against its words.
        first = stop - 1 if loss == "eou" or (loss == "user_turns" and weight < 0) else start
        labels[first:stop] = ids[first:stop] if weight else [IGNORED] * (stop - first)
        parts.append((weight, first, stop))
    if all(weight in (0, 1) for weight in given):
        return Targets(labels, None)
    weights = [1.0 if loss == "all" else 0.0] * len(ids)
    for weight, first, stop in parts:
        weights[first:stop] = [weight] * (stop - first)
    return Targets(labels, weights)
