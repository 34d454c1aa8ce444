from pathlib import Path

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from parley.conversation import Conversation, Turn, from_sharegpt, to_sharegpt
from parley.encoding.chat import Encoded, encode, template_of
from parley.encoding.loss import only_last, speaker_of, targets_of
from parley.modeling.models import load_tokenizer

TALK = Conversation(
    "c", (Turn("user", "one"), Turn("assistant", "two"), Turn("user", "three"), Turn("assistant", "four")), system="s"
)


def trained(tiny_base: Path, loss: str, conversation: Conversation = TALK, template: str = "") -> str:
    """What a loss trains, decoded, `|` between what is apart."""
    tokenizer = load_tokenizer(tiny_base)
    if template:
        tokenizer.chat_template = (Path(__file__).parents[3] / f"parley/templates/{template}.jinja").read_text()
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|user|>", "<|assistant|>"]})
    (encoded,) = encode(template_of(tokenizer), [conversation], speaker=speaker_of(loss), last=only_last(loss))
    labels = targets_of(loss, [(conversation, encoded)]).labels.tolist()
    parts: list[list[int]] = [[]]
    for label in labels:
        parts[-1].append(label) if label != -100 else parts.append([])
    return "|".join(tokenizer.decode(part) for part in parts if part)


@pytest.mark.parametrize(
    "loss, expected",
    [
        ("assistant", "two<|im_end|>|four<|im_end|>"),
        ("last_turn", "four<|im_end|>"),
        ("user_turns", "one<|im_end|>|three<|im_end|>"),
        ("eou", "<|im_end|>"),
    ],
)
@pytest.mark.parametrize("template", ["", "livekit"])
def test_each_loss_trains_what_it_says(tiny_base: Path, loss: str, expected: str, template: str) -> None:
    assert trained(tiny_base, loss, template=template) == expected


def test_all_trains_every_token_of_the_text(tiny_base: Path) -> None:
    assert trained(tiny_base, "all").count("<|im_start|>") == 5


def test_user_turns_end_a_conversation_too_and_may_look_like_the_template(tiny_base: Path) -> None:
    typed = Conversation("c", (Turn("user", "user"), Turn("assistant", "x"), Turn("user", "\ue0000\ue001 user\n")))
    assert trained(tiny_base, "user_turns", typed) == "user<|im_end|>|\ue0000\ue001 user\n<|im_end|>"


def test_a_turns_weight_goes_with_it_through_a_file_and_onto_its_tokens() -> None:
    row = to_sharegpt(Conversation("c", (Turn("user", "a"), Turn("assistant", "b", weight=0.5), Turn("user", "c"))))
    conversation = from_sharegpt(row)
    assert [part.get("weight") for part in row["conversations"]] == [None, 0.5, None]
    targets = targets_of("assistant", [(conversation, Encoded([7, 8, 9, 6], ((1, 3),)))])
    assert targets.labels.tolist() == [-100, 8, 9, -100]
    assert [list(row) for row in targets.columns()["weights"]] == [[0.0, 0.5, 0.5, 0.0]]


def test_a_turn_of_weight_0_is_not_trained() -> None:
    turns = (Turn("user", "a"), Turn("assistant", "b", weight=0), Turn("assistant", "c"))
    targets = targets_of("assistant", [(Conversation("c", turns), Encoded([7, 8, 9], ((0, 1), (2, 3))))])
    assert (targets.labels.tolist(), targets.columns()["weights"]) == ([-100, -100, 9], [None])


def test_a_batch_of_conversations_is_each_of_them_one_after_another() -> None:
    one = Conversation("c", (Turn("user", "a"), Turn("assistant", "b", weight=-2)))
    two = Conversation("d", (Turn("assistant", "a"), Turn("user", "b"), Turn("assistant", "c", weight=0.5)))
    rows = [(one, Encoded([7, 8], ((0, 2),))), (two, Encoded([4, 5, 6], ((0, 1), (1, 3))))]
    for loss in ("assistant", "all"):
        together = targets_of(loss, rows)
        alone = [targets_of(loss, [row]) for row in rows]
        assert together.labels.tolist() == [label for found in alone for label in found.labels.tolist()]
        assert [list(row) for row in together.columns()["weights"]] == [[-2, -2], [1, 0.5, 0.5]]
        assert [part.tolist() for part in together.sizes()] == [[2, 3], [2, 3], [1, 2]]


def test_weights_of_1_and_minus_1_are_binary_cross_entropy_on_the_tokens_probability() -> None:
    from parley.training.trainer import weighted_nats

    logits = torch.tensor([[2.0, 0.5], [2.0, 0.5], [-3.0, 9.0]], dtype=torch.float64)
    targets = torch.tensor([0, 0, 1])
    weights = torch.tensor([1.0, -1.0, -2.0], dtype=torch.float64)
    margin = torch.tensor([1.5, 1.5, 12.0], dtype=torch.float64)  # of the target over the other token
    expected = binary_cross_entropy_with_logits(margin, (weights > 0).double(), reduction="none") * weights.abs()
    assert torch.allclose(weighted_nats(logits, targets, weights), expected, rtol=1e-12)
