"""Tokens that the template needs and the base lacks: made, trained with the adapter, merged."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny_models import MODEL
from workspace import set_params

from parley.conversation import Conversation, Turn, to_sharegpt
from parley.jsonl import rows_into
from parley.modeling.models import added_ids, load_base, load_model, load_tokenizer
from stages import base, encode, merge, train

SOME = MODEL.model_copy(update={"name": "some"})


def lay(root: Path, source: Path, *, tied: bool) -> None:
    """A local model without <|user|> and <|assistant|>, and a few conversations."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shutil.copytree(source, root / "some")
    (root / "some/base.json").unlink()
    if not tied:
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
        LlamaForCausalLM(LlamaConfig(vocab_size=2048, tie_word_embeddings=False, **sizes)).save_pretrained(
            root / "some"
        )
    for split, count in (("train", 6), ("val", 2)):
        with rows_into(root / f"data/splits/{split}.jsonl") as add:
            for number in range(count):
                turns = (Turn("user", f"hello {number}"), Turn("assistant", "ok"), Turn("user", "bye"))
                add(to_sharegpt(Conversation(f"{split}-{number}", turns, source="x:1")))


@pytest.mark.parametrize("tied", [True, False])
def test_added_tokens_begin_as_their_words_and_are_trained_and_merged(
    tmp_path: Path, tiny_base: Path, tied: bool
) -> None:
    lay(tmp_path, tiny_base, tied=tied)
    changes = {"model__name": "some", "model__template": "livekit", "model__add_tokens": True}
    set_params(tmp_path, **changes, encode__loss="user_turns", train__epochs=1)
    base.main(tmp_path)
    assert json.loads((tmp_path / "metrics/base.json").read_text())["added_tokens"] == ["<|user|>", "<|assistant|>"]
    ids = added_ids(tmp_path / "models/base")
    tokenizer = load_tokenizer(tmp_path / "models/base")
    assert sorted(ids) == [2048, 2049] == sorted(tokenizer.convert_tokens_to_ids(["<|user|>", "<|assistant|>"]))
    before = load_base(tmp_path / "models/base", SOME, dtype=torch.float32)
    for layer in (before.get_input_embeddings(), before.get_output_embeddings()):
        pieces = tokenizer("user")["input_ids"]
        assert torch.allclose(layer.weight[tokenizer.vocab["<|user|>"]], layer.weight[pieces].mean(0))

    encode.main(tmp_path)
    train.main(tmp_path)
    merge.main(tmp_path)
    after = load_model(tmp_path / "models/merged", SOME, dtype=torch.float32)
    for name in ("get_input_embeddings", "get_output_embeddings"):
        moved = (getattr(after, name)().weight - getattr(before, name)().weight).abs().amax(1)
        assert [token for token, size in enumerate(moved.tolist()) if size > 0] == sorted(ids)
    assert (after.get_input_embeddings().weight is after.get_output_embeddings().weight) == tied


def test_a_template_whose_tokens_the_base_lacks_stops_unless_they_may_be_added(tmp_path: Path, tiny_base: Path) -> None:
    from parley.errors import ParleyError

    lay(tmp_path, tiny_base, tied=True)
    set_params(tmp_path, model__name="some", model__template="livekit")
    with pytest.raises(ParleyError, match=r"'livekit' needs <\|user\|> <\|assistant\|>.* model.add_tokens: true"):
        base.main(tmp_path)
