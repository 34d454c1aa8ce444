"""One channel's messages become sessions, bursts and, at last, conversations with one person as the assistant.

20:01 Ana: hi          ┐ a burst: one author, minutes apart       user: hi\nare you there
20:02 Ana: are you there ┘
20:03 Ben: sure        a burst of the target                       assistant: sure
21:30 Ana: …           after the session gap: the next session
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from parley.conversation import Message, Turn

LONGEST = 24 * 3_600_000  # milliseconds after which only a reply joins a session: some channels never sleep
REMEMBERED = 10_000  # messages of a channel whose text a late reply can still quote


@dataclass(frozen=True, slots=True)
class Said:
    """A message in its session; `parent` is what it answers, if that is too old to be in the session."""

    message: Message
    parent: Message | None = None


@dataclass(frozen=True, slots=True)
class Burst:
    """Messages of one author in one go."""

    author: str
    said: tuple[Said, ...]
    answers: bool  # whether the author is the target
    quoted: bool = False  # an older message, shown again for the answer that follows: counted where it stands

    @property
    def chars(self) -> int:
        return sum(len(said.message.text) for said in self.said)


def sessions(messages: Iterable[Message], *, gap: int, reply: int) -> Iterator[list[Said]]:
    """The sessions of one channel's messages (in time order), each as soon as nothing can join it any more.

    gap: a message joins the running session after a silence of at most this. reply: a message that answers
    one at most this much older joins that one's session; an older one becomes its `parent`. Milliseconds.
    """
    alive: OrderedDict[str, list[Said]] = OrderedDict()  # by the first message's id, the least recently active first
    home: dict[str, str] = {}  # message id -> the first of its session, while that is alive
    recent: OrderedDict[str, Message] = OrderedDict()
    running: list[Said] = []

    def close() -> list[Said]:
        _, session = alive.popitem(last=False)
        for said in session:
            del home[said.message.id]
        return session

    for message in messages:
        while alive and message.time - next(iter(alive.values()))[-1].message.time > max(gap, reply):
            yield close()
        silent = not running or message.time - running[-1].message.time > gap
        parent = recent.get(message.reply_to or "")
        if parent and parent.id in home and message.time - parent.time <= reply:
            session, parent = alive[home[parent.id]], None
            running = session if silent else running
        else:
            if silent or message.time - running[0].message.time > LONGEST:
                running = []
            session = running
            if parent and session and home.get(parent.id) == session[0].message.id:
                parent = None
        session.append(Said(message, parent))
        first = session[0].message.id
        alive[first] = session
        alive.move_to_end(first)
        home[message.id] = first
        recent[message.id] = message
        if len(recent) > REMEMBERED:
            recent.popitem(last=False)
    while alive:
        yield close()


def bursts(session: Iterable[Said], *, target: str, merge_gap: int) -> list[Burst]:
    """A session's messages, those of one author at most `merge_gap` milliseconds apart in one burst.

    Before an answer to an older message of somebody else, that message stands again as a burst.
    """
    found: list[list[Said]] = []
    for said in session:
        before = found[-1][-1].message if found else None
        close = before and before.author == said.message.author and said.message.time - before.time <= merge_gap
        if close and not said.parent:
            found[-1].append(said)
        else:
            found.append([said])
    result = []
    for group in found:
        author, parent = group[0].message.author, group[0].parent
        if parent and author == target:
            group[0] = Said(group[0].message)  # an answer to learn has no quote in it
            if parent.author != target:
                result.append(Burst(parent.author, (Said(parent),), answers=False, quoted=True))
        result.append(Burst(author, tuple(group), answers=author == target))
    return result


def windows(
    session: Iterable[Burst], *, max_turns: int, min_reply: int, drop: Callable[[Burst, str], None]
) -> Iterator[list[Burst]]:
    """Stretches of a session, at most `max_turns` bursts each, that begin with a user and end with an answer.

    An answer shorter than `min_reply` characters ends none. Each burst is in one window or goes to `drop`
    with a reason: unprompted, too_far, short_answer, trailing.
    """
    window: deque[Burst] = deque()

    def answered() -> list[Burst]:
        """Takes what the window holds up to its last answer worth learning."""
        ends = [place for place, burst in enumerate(window) if burst.answers and burst.chars >= min_reply]
        return [window.popleft() for _ in range(ends[-1] + 1 if ends else 0)]

    for burst in session:
        if burst.answers and window and window[-1].answers:  # silence lies between: not the same turn
            if whole := answered():
                yield whole
            _drop_all(window, drop)
        if burst.answers and not window:
            drop(burst, "unprompted")
            continue
        if len(window) == max_turns:
            if whole := answered():
                yield whole
            else:
                drop(window.popleft(), "too_far")
            while window and window[0].answers:
                drop(window.popleft(), "short_answer")
        window.append(burst)
    if whole := answered():
        yield whole
    _drop_all(window, drop)


def stretches(said: Sequence[Turn], *, max_turns: int) -> Iterator[tuple[Turn, ...]]:
    """A finished conversation as several of at most `max_turns` turns, each from a user's turn to an answer.

    One question stays with its calls, their results and its answer, however many turns they are.
    """
    begins = (n for n in range(1, len(said)) if said[n].role == "user" and said[n - 1].role == "assistant")
    places = [0, *(n for n in begins if not said[n - 1].calls), len(said)]
    first = 0
    for place, after in pairwise(places):
        if after - first > max_turns and place > first:
            yield tuple(said[first:place])
            first = place
    yield tuple(said[first:])


def _drop_all(window: deque[Burst], drop: Callable[[Burst, str], None]) -> None:
    while window:
        burst = window.popleft()
        drop(burst, "short_answer" if burst.answers else "trailing")


def turns(window: Iterable[Burst], *, redact: Callable[[str], str], name: Callable[[str], str]) -> tuple[Turn, ...]:
    """The window's turns, redacted; with more than two speakers each user burst begins with `Name: `."""
    shown = list(window)
    many = len({burst.author for burst in shown}) > 2
    found = []
    for answers, group in groupby(shown, key=lambda burst: burst.answers):
        texts = []
        for burst in group:
            text = "\n".join(_text(said, redact) for said in burst.said)
            texts.append(f"{name(burst.author)}: {text}" if many and not answers else text)
        found.append(Turn("assistant" if answers else "user", "\n".join(texts)))
    return tuple(found)


def _text(said: Said, redact: Callable[[str], str]) -> str:
    text = redact(said.message.text.strip())
    if said.parent is None:
        return text
    quote = "\n".join(f"> {line}" for line in redact(said.parent.text.strip()).splitlines())
    return f"{quote}\n{text}"
