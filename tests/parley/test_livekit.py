"""The livekit template against the string of LiveKit's own training script."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.utils.chat_template_utils import render_jinja_template

TEMPLATE = (Path(__file__).parents[2] / "parley/templates/livekit.jinja").read_text(encoding="utf-8")
GOLDEN = (
    "{% for message in messages %}{{'<|im_start|>' + '<|' + message['role'] + '|>' + message['content'] "
    "+ '<|im_end|>'}}{% endfor %}"
)


def rendered(template: str, messages: list[dict[str, str]], **options: bool) -> str:
    (text,), _ = render_jinja_template([messages], chat_template=template, **options)
    return text


def test_a_turn_is_its_role_token_its_text_and_its_end() -> None:
    messages = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi\n"}]
    text = "<|im_start|><|user|>hello<|im_end|><|im_start|><|assistant|>hi\n<|im_end|>"
    assert rendered(TEMPLATE, messages) == rendered(GOLDEN, messages) == text
    assert rendered(TEMPLATE, messages, add_generation_prompt=True) == text + "<|im_start|><|assistant|>"


MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": st.text(max_size=9)})
)


@settings(max_examples=50)
@given(MESSAGES)
def test_every_conversation_is_rendered_as_by_the_original(messages: list[dict[str, str]]) -> None:
    assert rendered(TEMPLATE, messages) == rendered(GOLDEN, messages)
