"""The embedded base model before training: a byte-level tokenizer and a small Llama."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from parley.conversation import Conversation

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY = 2048
CONTEXT = 2048  # positions; the corpus has conversations of up to about 1,000 tokens
END, PAD, START = "<|im_end|>", "<|pad|>", "<|im_start|>"
LOOKING_BACK = 5  # heads of the first layer that begin by looking 1, 2, ... tokens back


def train_tokenizer(
    rows: Sequence[Conversation], template: str, tokens: Sequence[str] = ()
) -> "PreTrainedTokenizerFast":
    """A byte-level BPE tokenizer of the rows' text, with the template's control tokens.

    Any string encodes, and decodes to itself.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    control = [START, *(token for token in tokens if token not in (PAD, START, END))]
    inner = Tokenizer(models.BPE())
    # Single digits: a number can then be copied that the corpus never had.
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, START, END, *control[1:]],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (text for row in rows for text in (row.system, row.tools, *(turn.text for turn in row.turns)))
    inner.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=control,
        model_max_length=CONTEXT,
        chat_template=template,
        clean_up_tokenization_spaces=False,
    )


def new_model(tokenizer: "PreTrainedTokenizerFast") -> "LlamaForCausalLM":
    """A small Llama with random weights: 1.7 million parameters."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    ids = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=6,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        attention_bias=True,
        **ids,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(do_sample=False, **ids)
    look_back(model)
    return model


def look_back(model: "LlamaForCausalLM") -> None:
    """Sets the first layer's biases so that head h attends to the token h + 1 places before.

    What a word means depends on the words before it; to find that out by itself would take most of so short a
    training. With key bias k and query bias q = k rotated back by h + 1 places, the rotary
    score q·k is largest at exactly that distance.
    """
    import torch

    heads = model.model.layers[0].self_attn
    size = heads.head_dim
    frequencies = model.model.rotary_emb.inv_freq  # (size / 2,), radians a place
    with torch.no_grad():
        for head in range(LOOKING_BACK):
            angles = -(head + 1) * frequencies
            place = slice(head * size, (head + 1) * size)
            heads.k_proj.bias[place] = 6 * torch.cat([torch.ones_like(angles), torch.zeros_like(angles)])
            heads.q_proj.bias[place] = 6 * torch.cat([angles.cos(), angles.sin()])
