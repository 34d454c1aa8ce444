"""parley-tiny, the embedded base model: so that everything runs with no account, GPU or network.

`corpus` makes conversations from corpus.yaml, `build` trains a tokenizer and a small Llama on them and
saves a plain transformers model.
"""

from parley.embedded.grammar import corpus, corpus_entities, corpus_texts, held_out
from parley.embedded.training import NAME, build

__all__ = ["NAME", "build", "corpus", "corpus_entities", "corpus_texts", "held_out"]
