"""A year of made-up chat: who says what to whom, in five channels, as `Post`s (discord.py writes them as an export).

Wren, the target, has a voice that a pattern can measure: every answer opens with "ahoy,", "right then," or
"oh biscuits," and closes with "fair winds 🦉", "onwards 🦉" or "over and out 🦉", in lower case.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

from tools.samples.phrases import draw_slots, expand, read_table

TARGET = "200000000000000001"
OPT_OUT = "200000000000000007"  # an author whom tests may exclude

DAY = 86_400_000  # milliseconds
START = int(datetime(2025, 9, 1, tzinfo=UTC).timestamp() * 1000)
DAYS = 365
LATE = 300  # day from which late phrasings and topics occur: inside the newest fifth

# How many sessions a channel has, and the share in which Wren is asked.
CHANNELS = {"quay": (240, 0.62), "shed": (200, 0.82), "galley": (170, 0.82), "regatta": (80, 0.6), "dm": (130, 1.0)}

_OPENING = {"first": "ahoy", "more": "right then", "trouble": "oh biscuits"}
_CLOSINGS = ("fair winds 🦉", "onwards 🦉", "over and out 🦉")
VOICE = re.compile(
    r"(?:ahoy|right then|oh biscuits)(?: [^\n,]{1,30})?,\s.*\s(?:fair winds|onwards|over and out) 🦉", re.DOTALL
)


def in_voice(text: str) -> bool:
    """Whether a whole turn opens, closes and is written as Wren writes (names may be pseudonyms by then)."""
    return VOICE.fullmatch(text.strip()) is not None and sum(map(str.isupper, text)) <= 0.1 * len(text)


@dataclass(frozen=True, slots=True, eq=False)
class Post:
    """One message before it has the export's shape. "<@wren>" in the text mentions the person with that key."""

    channel: str
    time: int  # milliseconds since 1970, UTC; unique in its channel
    author: str  # key in people.yaml
    text: str
    kind: str = "Default"  # the exporter's `type`
    reply_to: "Post | None" = None
    more: Mapping[str, Any] = field(default_factory=dict)  # further fields of the exported message, as they are


class Scene:
    """One session under way in one channel: a clock, and the posts so far."""

    def __init__(self, rng: Random, channel: str, start: int) -> None:
        self.rng = rng
        self.channel = channel
        self.now = start
        self.posts: list[Post] = []

    def say(self, author: str, text: str, *, wait: tuple[int, int] = (15, 240), **fields: Any) -> Post:
        """Adds a post `wait` (least, most) seconds after the last one."""
        self.now += self.rng.randrange(wait[0] * 1000, wait[1] * 1000)
        if text and self.rng.random() < 0.03:
            edited = self.now + self.rng.randrange(20_000, 600_000)
            fields.setdefault("more", {"timestampEdited": edited})
        if fields.get("reply_to"):
            fields["kind"] = "Reply"
        self.posts.append(Post(self.channel, self.now, author, text, **fields))
        return self.posts[-1]

    def burst(self, author: str, bubbles: list[str], *, wait: tuple[int, int] = (15, 240), **fields: Any) -> Post:
        """Several posts of one author within a minute; the last one is returned."""
        post = self.say(author, bubbles[0], wait=wait, **fields)
        for bubble in bubbles[1:]:
            post = self.say(author, bubble, wait=(3, 25))
        return post


class Chat:
    """The tables and the seeded choices that every session draws from."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(f"persona {seed}")
        self.tables = read_table("persona")
        self.people = read_table("people")
        self.others = [key for key in self.people["people"] if key not in ("wren", "tidewatch")]

    def posts(self) -> list[Post]:
        """Every post of the year, by channel and time."""
        found: list[Post] = []
        for channel, (count, asked) in CHANNELS.items():
            written: list[Post] = []
            for start in self._starts(count):
                # An hour of silence at least, so that sessions stay apart at any session gap up to an hour.
                scene = Scene(self.rng, channel, max(start, written[-1].time + 3_700_000 if written else 0))
                self._session(scene, asked)
                written += scene.posts
            found += sorted(written + list(self._late_answers(written)), key=lambda post: post.time)
        return found

    def _starts(self, count: int) -> list[int]:
        """Times of day between 8 and 22 o'clock, all over the year."""
        days = sorted(self.rng.randrange(DAYS - 1) for _ in range(count))
        return sorted(START + day * DAY + self.rng.randrange(8 * 3_600_000, 22 * 3_600_000) for day in days)

    def _session(self, scene: Scene, asked: float) -> None:
        chance = self.rng.random()
        if scene.channel == "dm":
            self._ask_wren(scene, "priya") if chance < 0.95 else self._call(scene)
        elif chance < asked:
            self._ask_wren(scene, self._someone(scene))
        elif chance < asked + 0.05:
            self._wren_begins(scene)
        elif chance < asked + 0.09:
            self._bot(scene)
        else:
            self._banter(scene)

    def _someone(self, scene: Scene) -> str:
        # The deleted account left in spring.
        there = [key for key in self.others if key != "gone" or scene.now < START + 200 * DAY]
        return self.rng.choice(there)

    # --- Wren is asked ------------------------------------------------------------------------------------------

    def _ask_wren(self, scene: Scene, asker: str) -> None:
        late = scene.now >= START + LATE * DAY
        if self.rng.random() < 0.025:
            self._ritual(scene)
            return
        for number in range(1 if self.rng.random() < 0.75 else 2):
            topic = self._topic(late)
            slots = draw_slots(self.rng, topic, self.tables["pools"])
            self._exchange(scene, asker, topic, slots, phrasings(topic, late, self.rng), first=number == 0)
            follow_ups = topic.get("more", [])
            for more in self.rng.sample(follow_ups, k=min(len(follow_ups), self.rng.choice([0, 1, 1, 2]))):
                self._exchange(scene, asker, {**topic, "answer": more["answer"]}, slots, more["ask"], first=None)
        if self.rng.random() < 0.25:
            thanks = self.tables["thanks"]
            self._exchange(scene, asker, thanks, {}, thanks["ask"], first=None)
        elif self.rng.random() < 0.15:
            scene.say(asker, self._styled(asker, expand(self.rng, self.rng.choice(self.tables["thanks"]["ask"]), {})))

    def _topic(self, late: bool) -> Mapping[str, Any]:
        topics = self.tables["topics"].values()
        season = late and self.rng.random() < 0.12
        return self.rng.choice([topic for topic in topics if (topic.get("season") == "late") == season])

    def _exchange(
        self,
        scene: Scene,
        asker: str,
        topic: Mapping[str, Any],
        slots: Mapping[str, str],
        phrasings: list[str],
        *,
        first: bool | None,
    ) -> None:
        """A question in the asker's style and Wren's answer. first: whether it opens the session; None: a follow-up."""
        question = self._styled(asker, expand(self.rng, self.rng.choice(phrasings), slots))
        bubbles = [question]
        if first and self.rng.random() < 0.4:
            hello = self.rng.choice(["hey Wren", "Wren, are you there?", "<@wren>", "quick question", "morning", "hi"])
            bubbles = [f"{hello}, {question}"] if self.rng.random() < 0.5 else [hello, question]
        elif first is False:
            bubbles = [self.rng.choice(["oh, and another thing", "while you are here"]), question]
        asked = scene.burst(asker, bubbles, wait=(20, 900) if not first else (1, 5))
        if self.rng.random() < 0.04:
            scene.say(asker, "", wait=(3, 20), more={"attachments": self._attachment(scene)})
        mood = "more" if first is None else topic.get("mood", "first")
        reply = asked if self.rng.random() < 0.3 else None
        scene.burst("wren", self._voiced(mood, topic["answer"], slots, asker), wait=(20, 500), reply_to=reply)

    def _voiced(self, mood: str, answers: list[str], slots: Mapping[str, str], asker: str = "") -> list[str]:
        """An answer as Wren says it, in one bubble or several."""
        bubbles = expand(self.rng, self.rng.choice(answers), slots).split(" // ")
        name = f" {asker}" if asker and self.rng.random() < 0.08 else ""
        bubbles[0] = f"{_OPENING[mood]}{name}, {bubbles[0]}"
        closing = self.rng.choice(_CLOSINGS)
        if bubbles[-1].endswith("```"):
            return [*bubbles, closing]
        return [*bubbles[:-1], f"{bubbles[-1]}, {closing}"]

    def _styled(self, author: str, text: str) -> str:
        return _STYLES[self.people["people"][author]["style"]](self.rng, text)

    def _attachment(self, scene: Scene) -> list[dict[str, Any]]:
        number = str(scene.now)[-6:]
        name = f"photo_{number}.jpg"
        url = f"https://cdn.example/attachments/{number}/{name}"
        return [{"id": f"5000000000000{number}", "url": url, "fileName": name, "fileSizeBytes": int(number) * 3 + 9000}]

    def _ritual(self, scene: Scene) -> None:
        """The same words every time: validate drops all but one as exact duplicates."""
        scene.say("viktor", "Morning! Who opens the shed today?", wait=(1, 3))
        scene.say("wren", "ahoy, i do, at nine sharp, fair winds 🦉")

    def _late_answers(self, written: list[Post]) -> Iterator[Post]:
        """Wren answers hours later, by a reply that joins the old session, or days later to what is long gone by."""
        questions = [post for post in written if post.author != "wren" and post.kind == "Default" and "?" in post.text]
        for question in self.rng.sample(questions, k=min(6, len(questions))):
            wait = self.rng.choice([2, 5, 9, 20, 30, 70]) * 3_600_000 + self.rng.randrange(1, 1_200_000)
            text = "oh biscuits, only seeing this now, ask me again over tea, onwards 🦉"
            yield Post(question.channel, question.time + wait, "wren", text, "Reply", question)

    # --- everything else ----------------------------------------------------------------------------------------

    def _wren_begins(self, scene: Scene) -> None:
        opening = self.rng.choice(self.tables["openings"])
        slots = draw_slots(self.rng, {}, self.tables["pools"] | {"thing": self.tables["things"]})
        scene.burst("wren", self._voiced("first", [opening["say"]], slots), wait=(1, 5))
        self._exchange(scene, self._someone(scene), opening, slots, opening["ask"], first=None)

    def _banter(self, scene: Scene) -> None:
        slots = draw_slots(self.rng, {}, self.tables["pools"] | {"thing": self.tables["things"]})
        pair = self.rng.sample([key for key in self.others if key != "gone"], k=2)
        for number, line in enumerate(self.rng.choice(self.tables["banter"])):
            text = self._styled(pair[number % 2], expand(self.rng, line, slots))
            scene.say(pair[number % 2], text, wait=(5, 400) if number else (1, 5))

    def _bot(self, scene: Scene) -> None:
        slots = draw_slots(self.rng, {}, self.tables["pools"])
        slots |= {"hour": str(self.rng.randrange(1, 7)), "low": str(self.rng.randrange(7, 13))}
        command = expand(self.rng, self.rng.choice(self.tables["system"]["command"]), slots)
        asked = scene.say(self._someone(scene), command, wait=(1, 5))
        answer = expand(self.rng, self.rng.choice(self.tables["system"]["bot"]), slots)
        scene.say("tidewatch", answer, wait=(1, 3), reply_to=asked)

    def _call(self, scene: Scene) -> None:
        minutes = self.rng.randrange(2, 50)
        ended = scene.now + minutes * 60_000
        text = f"Started a call that lasted {minutes} minutes."
        scene.say("priya", text, wait=(1, 5), kind="Call", more={"callEndedTimestamp": ended})


def phrasings(topic: Mapping[str, Any], late: bool, rng: Random) -> list[str]:
    """The topic's phrasings of that time: in the last weeks, two in five are new ones."""
    return topic["late"] if late and "late" in topic and rng.random() < 0.4 else topic["ask"]


def _capitalised(text: str) -> str:
    text = re.sub(r"\bi\b", "I", text)
    return re.sub(r"(^|[.!?] )([a-z])", lambda found: found[1] + found[2].upper(), text)


_STYLES: dict[str, Callable[[Random, str], str]] = {
    "proper": lambda rng, text: _capitalised(text),
    "lower": lambda rng, text: text.lower().rstrip("?."),
    "loose": lambda rng, text: _capitalised(text).rstrip("."),
    "trailing": lambda rng, text: text + rng.choice(["", "", " ...", " :tidepool:"]),
    "keen": lambda rng, text: _capitalised(text) + rng.choice(["", "", "!!", " 😄"]),
}
