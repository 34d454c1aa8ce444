"""Settings of the embedded base as tests use it, and the widths of models that are made in no time."""

from parley.modeling.models import plain

MODEL_YAML = """\
model:
  name: parley-tiny
  revision: ""
  trust_remote_code: false
  template: auto
  thinking: keep
  add_tokens: false
  threads: 1
"""
MODEL = plain("parley-tiny")
WIDTHS = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
