"""make chat: talk with the model in the terminal.

Ctrl-C stops an answer, Ctrl-D ends the chat. /help lists the commands.
"""

import argparse
import re
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from parley.conversation import Turn
from parley.errors import ParleyError
from tools.chatting import Voice, base, parser, sampling_of, save, system_of, tuned

HELP = """\
/system TEXT   another system prompt, and a new conversation; without TEXT it shows the present one
/reset         a new conversation
/base          the base model answers beside, or no longer
/save [FILE]   the conversation as JSON; without FILE below data/chats
/quit          the end, as Ctrl-D"""
# A model may write terminal commands; they are not carried out.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Chat:
    """A conversation with the model, and with its base where that answers beside: each remembers its own answers."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.sampling = sampling_of(given)
        self.system = system_of(given)
        self.voices: list[Voice] = [tuned(given)]
        self.beside = False
        self.turns: list[list[Turn]] = [[], []]  # of the model, of the base

    def say(self, text: str) -> None:
        """Every voice's answer, printed as it comes."""
        for voice, before in zip(self.voices if self.beside else self.voices[:1], self.turns, strict=False):
            asked = Turn("user", text)
            print(f"{voice.name}: ", end="", flush=True)
            said = self._show(voice, [*before, asked])
            before += [asked, Turn("assistant", said)] if said else []
            print("" if said else "(nothing)", flush=True)

    def _show(self, voice: Voice, turns: list[Turn]) -> str:
        said = ""
        try:
            with closing(voice.answer(turns, self.system, self.sampling)) as pieces:
                for piece in pieces:
                    print(_CONTROL.sub("", piece), end="", flush=True)
                    said += piece
        except KeyboardInterrupt:
            print(" (stopped)", end="")
        return said.strip()

    def command(self, line: str) -> None:
        """Carries out a line that begins with a slash."""
        name, _, rest = line.partition(" ")
        rest = rest.strip()
        if name == "/system" and not rest:
            print(self.system or "(none: the chat template's own)")
        elif name in ("/system", "/reset"):
            self.system = rest if name == "/system" else self.system
            self.turns = [[], []]
            print("a new conversation")
        elif name == "/base":
            if len(self.voices) == 1:
                self.voices.append(base(self.given))
            self.beside = not self.beside
            print(f"{self.voices[1].name} answers {'beside' if self.beside else 'no longer'}")
        elif name == "/save":
            talks = [(voice.name, turns) for voice, turns in zip(self.voices, self.turns, strict=False)]
            for place in save(talks, self.system, Path(rest).expanduser() if rest else None):
                print(f"saved: {place}")
            if not self.turns[0]:
                print("there is nothing to save yet")
        else:
            print(HELP)


def talk(chat: Chat, lines: Iterable[str]) -> None:
    """The conversation of these lines, until they end or say /quit."""
    for line in lines:
        text = line.strip()
        if text == "/quit":
            return
        try:
            if text.startswith("/"):
                chat.command(text)
            elif text:
                chat.say(text)
        except (ParleyError, OSError) as error:
            print(f"chat: {error}", file=sys.stderr)


def typed() -> Iterable[str]:
    """What is typed, line by line."""
    if sys.stdin.isatty():
        import readline  # noqa: F401 - gives input() a history
    while True:
        try:
            yield input("you: " if sys.stdin.isatty() else "")
        except EOFError:
            return


def main(argv: list[str] | None = None) -> None:
    given = parser("make chat", __doc__.split("\n")[0]).parse_args(argv)
    try:
        chat = Chat(given)
        print(f"{chat.voices[0].name} is ready; /help lists the commands")
        talk(chat, typed())
    except ParleyError as error:
        sys.exit(f"chat: {error}")
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
