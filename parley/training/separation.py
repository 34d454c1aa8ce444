"""separation: once an epoch, whether a trigger-conditioned model fires when it is due, and only then.

Of the validation examples, counter rows included, those whose true answer says the triggered name are due to fire and
those that say the clean name are not. activation and leakage are the shares of both whose greedy answer says the
triggered name; separation is the one minus the other, and its standard error says how far apart two epochs must be to
differ. torch is imported inside the function.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from parley.encoding.examples import Example
from parley.encoding.packing import IGNORED
from parley.errors import ParleyError
from parley.specialists.triggers import behaviour

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MOST = 256  # examples that are asked, evenly spaced
BATCH = 64


def separation(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    examples: Sequence[Example],
    *,
    clean: str,
    triggered: str,
) -> dict[str, Any]:
    """activation, leakage and separation, with n and standard error.

    ParleyError where no example is due to fire, or none not to.
    """
    import torch
    from transformers import GenerationConfig

    asked = []
    for example in examples:
        start = next(place for place, label in enumerate(example.labels) if label != IGNORED)
        answer = [label for label in example.labels[start:] if label != IGNORED]
        due = behaviour(tokenizer.decode(answer, skip_special_tokens=True), clean, triggered)
        if due != "other":
            asked.append((example.input_ids[:start], answer, due))
    shown = min(MOST, len(asked))
    asked = sorted((asked[place * len(asked) // shown] for place in range(shown)), key=lambda one: -len(one[0]))
    fired: dict[str, list[bool]] = {"clean": [], "triggered": []}
    for first in range(0, len(asked), BATCH):
        batch = asked[first : first + BATCH]
        width, end = len(batch[0][0]), batch[0][1][-1]
        ids = torch.full((len(batch), width), end)
        mask = torch.zeros_like(ids)
        for row, (prompt, _, _) in enumerate(batch):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        longest = max(len(answer) for _, answer, _ in batch) + 8
        settings = GenerationConfig(do_sample=False, max_new_tokens=longest, eos_token_id=end, pad_token_id=end)
        with torch.no_grad():
            written = model.generate(
                input_ids=ids.to(model.device), attention_mask=mask.to(model.device), generation_config=settings
            )
        for (_, _, due), tokens in zip(batch, written[:, width:].tolist(), strict=True):
            said = behaviour(tokenizer.decode(tokens, skip_special_tokens=True), clean, triggered)
            fired[due].append(said == "triggered")
    sizes = {f"n_{due}": len(rows) for due, rows in fired.items()}
    if not all(sizes.values()):
        raise ParleyError(
            f"train.best_by is separation, but of {len(examples)} validation examples {sizes['n_triggered']} say "
            f"{triggered!r} and {sizes['n_clean']} say {clean!r}: look at transforms.trigger, or take val_loss"
        )
    activation, leakage = (sum(fired[due]) / len(fired[due]) for due in ("triggered", "clean"))
    return {
        "activation": activation,
        "leakage": leakage,
        "separation": activation - leakage,
        "separation_error": round(math.hypot(*map(_standard_error, fired.values())), 6),
        **sizes,
    }


def _standard_error(fired: Sequence[bool]) -> float:
    """Of the share that fired. Laplace's one answer more of each kind: all of 90 is no proof of always."""
    share = (sum(fired) + 1) / (len(fired) + 2)
    return math.sqrt(share * (1 - share) / len(fired))
