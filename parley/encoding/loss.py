"""What of an encoded conversation is trained, and how much each token counts."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from parley.conversation import Conversation
from parley.encoding.chat import Encoded
from parley.encoding.packing import IGNORED
from parley.encoding.rendering import Speaker

if TYPE_CHECKING:
    import numpy as np

Loss = Literal[
    "assistant",  # every turn of the assistant, end token included
    "last_turn",  # the assistant's last turn only
    "all",  # every token, those of the template too
    "user_turns",  # every turn of the user, end token included: an end-of-turn detector
    "eou",  # the end token of the user's last turn only, likely or unlikely by that turn's weight
]


@dataclass(frozen=True, slots=True)
class Targets:
    """What is trained of a batch of conversations, which lie one after another."""

    ids: "np.ndarray"
    labels: "np.ndarray"  # the ids where something is trained, else -100; not shifted
    weights: "np.ndarray"  # what each token counts in the loss
    bounds: "np.ndarray"  # where each conversation begins, and the last one ends
    weighted: list[bool]  # whether any turn of a conversation has a weight other than 0 and 1

    def sizes(self) -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
        """Of each conversation: its tokens, how many are trained, and how many of these have a token before them."""
        import numpy as np

        start, stop = self.bounds[:-1], self.bounds[1:]
        before: np.ndarray = np.append(0, (self.labels != IGNORED).cumsum())
        return stop - start, before[stop] - before[start], before[stop] - before[np.minimum(start + 1, stop)]

    def columns(self) -> "dict[str, Any]":
        """The fields input_ids, labels and weights of the conversations' Examples."""
        import numpy as np
        import pyarrow as pa

        bounds: np.ndarray = self.bounds.astype(np.int32)
        weights: np.ndarray = self.weights.astype(np.float32)
        spans = zip(bounds, bounds[1:], self.weighted, strict=False)
        return {
            "input_ids": pa.ListArray.from_arrays(bounds, self.ids),
            "labels": pa.ListArray.from_arrays(bounds, self.labels),
            "weights": [weights[start:stop] if own else None for start, stop, own in spans],
        }


def speaker_of(loss: Loss) -> Speaker:
    """Whose turns the loss is about."""
    return "user" if loss in ("user_turns", "eou") else "assistant"


def only_last(loss: Loss) -> bool:
    """Whether nothing but the speaker's last turn is trained."""
    return loss in ("last_turn", "eou")


def targets_of(loss: Loss, rows: Sequence[tuple[Conversation, Encoded]]) -> Targets:
    """Labels and weights of conversations encoded for this loss. A turn of weight 0 is read and not trained."""
    import numpy as np

    speaker, ids, bounds = speaker_of(loss), array("i"), [0]
    spans: list[tuple[int, int]] = []
    weights: list[float] = []  # of the turns in these spans
    weighted = []
    for conversation, encoded in rows:
        spans += [(bounds[-1] + start, bounds[-1] + stop) for start, stop in encoded.spans]
        ids.fromlist(encoded.ids)
        bounds.append(len(ids))
        given = [turn.weight for turn in conversation.turns if turn.role == speaker]
        given = given[len(given) - len(encoded.spans) :]
        weights += given
        weighted.append(any(weight not in (0, 1) for weight in given))
    first, stop = np.array(spans, dtype=np.int64).reshape(-1, 2).T
    # A turn of the user that has not ended is against its end, not against its words.
    at_end = np.array(weights) < 0 if loss == "user_turns" else loss == "eou"
    first = np.where(at_end, stop - 1, first)
    turns = np.arange(1, len(spans) + 1)
    changes: np.ndarray = np.zeros(len(ids) + 1, dtype=np.int64)
    changes[first] += turns
    changes[stop] -= turns
    turn_at = changes[:-1].cumsum()  # of each token; 0 outside the spans
    each = np.array([1.0 if loss == "all" else 0.0, *weights])[turn_at]
    flat = np.frombuffer(ids, dtype=np.int32)
    return Targets(flat, np.where(each, flat, np.int32(IGNORED)), each, np.array(bounds), weighted)
