"""Conversations to token ids and labels, with the proof of the mask; packed, cut, kept as Parquet."""
