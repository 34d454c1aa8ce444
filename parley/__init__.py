"""parley: people's own conversations in, a fine-tuned and honestly scored chat model out."""

__version__ = "0.1.0"
