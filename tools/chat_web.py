"""make chat-web: talk with the model on a page of this machine, http://127.0.0.1:7860.

Others reach it only with --share (Gradio's tunnel) or --host, and then only by name and password, which
PARLEY_CHAT_AUTH=name:password sets. Nothing on the page is loaded from the network.
"""

import argparse
import html
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from parley.conversation import Turn
from parley.errors import ParleyError
from parley.inference.generation import Sampling
from tools import told
from tools.chatting import Voice, base, parser, sampling_of, save, system_of, tuned

if TYPE_CHECKING:
    import gradio as gr

HERE = "127.0.0.1"
Messages = list[dict[str, Any]]


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    made = parser("make chat-web", __doc__.split("\n")[0])
    made.add_argument("--port", type=int, default=7860, help="where the page is served (7860)")
    made.add_argument("--host", default=HERE, help=f"address it is served at ({HERE}); another needs PARLEY_CHAT_AUTH")
    made.add_argument("--share", action="store_true", help="a public link by Gradio's servers; needs PARLEY_CHAT_AUTH")
    return made.parse_args(argv)


def auth_of(given: argparse.Namespace) -> tuple[str, str] | None:
    """Name and password, without which nobody but this machine is let in."""
    name, _, password = os.environ.get("PARLEY_CHAT_AUTH", "").partition(":")
    if name and password:
        return name, password
    if given.share or given.host not in (HERE, "localhost", "::1"):
        raise ParleyError(
            "--share and --host open the model to others: set PARLEY_CHAT_AUTH=name:password, which they must type"
        )
    return None


def turns_of(messages: Messages) -> list[Turn]:
    """The turns on the page; Gradio holds a text in parts."""
    turns = []
    for shown in messages:
        content = shown["content"]
        text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
        turns.append(Turn(shown["role"], html.unescape(text)))
    return turns


def message(role: str, text: str) -> dict[str, Any]:
    """A turn for the page. Escaped: without render_markdown Gradio still shows <b> as bold text."""
    return {"role": role, "content": html.escape(text)}


@dataclass(frozen=True, slots=True)
class Talk:
    """What the page does; a session is an open page, and all of them talk with the one model."""

    voice: Voice
    beside: Callable[[], Voice]  # the base, loaded when it is first asked for
    stopped: set[str] = field(default_factory=set)  # sessions that pressed Stop

    def respond(
        self, session: str, text: str, left: Messages, right: Messages, system: str, both: bool, *numbers: float
    ) -> Iterator[tuple[str, Messages, Messages]]:
        """The line to type in, and both conversations, again with each piece; numbers: of Sampling."""
        self.stopped.discard(session)
        if not text.strip():
            yield "", left, right
            return
        longest, *others = numbers
        sampling = Sampling(int(longest), *others)
        left = [*left, message("user", text)]
        right = [*right, message("user", text)] if both else right
        yield "", left, right
        for shown in self._answer(self.voice, session, left, system, sampling):
            yield "", shown, right
            left = shown
        for shown in self._answer(self.beside(), session, right, system, sampling) if both else ():
            yield "", left, shown

    def _answer(
        self, who: Voice, session: str, messages: Messages, system: str, sampling: Sampling
    ) -> Iterator[Messages]:
        said = ""
        with closing(who.answer(turns_of(messages), system, sampling)) as pieces:
            for piece in pieces:
                said += piece
                yield [*messages, message("assistant", said)]
                if session in self.stopped:
                    return

    def keep(self, left: Messages, right: Messages, system: str) -> str:
        """Saves the conversations, and says where."""
        if not left:
            return "There is nothing to save yet."
        talks = [(self.voice.name, turns_of(left)), *([(self.beside().name, turns_of(right))] if right else [])]
        return f"Saved: {', '.join(map(str, save(talks, system)))}"


def settings(given: argparse.Namespace) -> "tuple[gr.Textbox, list[gr.Slider]]":
    """The system prompt and the numbers of Sampling, folded away."""
    import gradio as gr

    first = sampling_of(given)
    with gr.Accordion("Settings", open=False):
        system = gr.Textbox(label="System prompt (empty: the chat template's own)", value=system_of(given))
        return system, [
            gr.Slider(1, 4096, first.max_new_tokens, step=1, label="Longest answer, in tokens"),
            gr.Slider(0, 2, first.temperature, step=0.05, label="Temperature (0: the likeliest token)"),
            gr.Slider(0.05, 1, first.top_p, step=0.05, label="Top p"),
            gr.Slider(1, 2, first.repetition_penalty, step=0.05, label="Repetition penalty"),
        ]


def page(given: argparse.Namespace, voice: Voice) -> "gr.Blocks":
    """The page."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr

    talk = Talk(voice, cache(lambda: base(given)))

    def respond(request: gr.Request, *inputs: Any) -> Iterator[tuple[str, Messages, Messages]]:
        try:
            yield from talk.respond(request.session_hash or "", *inputs)
        except ParleyError as error:
            raise gr.Error(str(error)) from None

    def stop(request: gr.Request) -> None:
        talk.stopped.add(request.session_hash or "")

    # Text as it stands: a model, or who wrote its data, may write markup that loads something or runs.
    plain: Any = {"render_markdown": False, "sanitize_html": True, "buttons": ["copy"], "feedback_options": None}
    with gr.Blocks(title="parley", analytics_enabled=False, fill_height=True) as made:
        with gr.Row():
            left = gr.Chatbot(label=voice.name, elem_id="tuned", scale=1, **plain)
            right = gr.Chatbot(label="base", elem_id="base", scale=1, visible=False, **plain)
        text = gr.Textbox(label="You", elem_id="text", lines=1, autofocus=True, submit_btn=True)
        with gr.Row():
            halt = gr.Button("Stop", elem_id="stop")
            new = gr.Button("New conversation", elem_id="reset")
            kept = gr.Button("Save as JSON", elem_id="save")
            both = gr.Checkbox(label="The base beside", elem_id="both")
        note = gr.Markdown(elem_id="note")
        system, numbers = settings(given)
        hidden: Any = {"api_visibility": "private"}
        text.submit(respond, [text, left, right, system, both, *numbers], [text, left, right], **hidden)
        halt.click(stop, None, None, queue=False, **hidden)
        new.click(lambda: ([], [], ""), None, [left, right, note], **hidden)
        kept.click(talk.keep, [left, right, system], note, **hidden)
        both.change(lambda on: gr.Chatbot(visible=on), both, right, **hidden)
    return made.queue(default_concurrency_limit=1)  # one answer at a time: there is one model


def launch(made: "gr.Blocks", given: argparse.Namespace, auth: tuple[str, str] | None, **more: Any) -> Any:
    return made.launch(
        server_name=given.host,
        server_port=given.port,
        share=given.share,
        auth=auth,
        ssr_mode=False,
        footer_links=[],
        run_history=False,
        **more,
    )


def main() -> None:
    given = arguments()
    with told("chat-web"):
        auth = auth_of(given)
        made = page(given, tuned(given))
        try:
            launch(made, given, auth)
        except OSError as error:
            raise ParleyError(f"{error}: take another with ARGS='--port 7861'") from None


if __name__ == "__main__":
    main()
