"""A year of made-up chat: who says what to whom, in five channels, as `Post`s (discord.py writes them as an export).

Others ask Wren, the target, or chat among themselves; in the last weeks come phrasings and topics that are new.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import Any

from tools.samples.phrases import draw_slots, expand, read_table
from tools.samples.posts import DAY, DAYS, HOUR, START, Post, Scene
from tools.samples.voices import styled, voiced

TARGET = "200000000000000001"
OPT_OUT = "200000000000000007"  # an author whom tests may exclude

LATE = 300  # day from which late phrasings and topics occur: inside the newest fifth

# How many sessions a channel has, and the share in which Wren is asked.
CHANNELS = {"quay": (220, 0.66), "shed": (180, 0.84), "galley": (155, 0.84), "regatta": (80, 0.66), "dm": (130, 1.0)}


class Chat:
    """The tables and the seeded choices that every session draws from."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(f"persona {seed}")
        self.tables = read_table("persona")
        tables = read_table("people")
        self.people = tables["people"]
        self.pools = self.tables["pools"] | {"email": tables["emails"], "phone": tables["phones"]}
        self.others = [key for key in self.people if key not in ("wren", "tidewatch")]

    def posts(self) -> list[Post]:
        """Every post of the year, by channel and time."""
        found: list[Post] = []
        for channel, (count, asked) in CHANNELS.items():
            written: list[Post] = []
            for start in self._starts(count):
                # An hour of silence at least, so that sessions stay apart at any session gap up to an hour.
                scene = Scene(self.rng, channel, max(start, written[-1].time + HOUR + 100_000 if written else 0))
                self._session(scene, asked)
                written += scene.posts
            found += sorted(written + list(self._late_answers(written)), key=lambda post: post.time)
        return found

    def _starts(self, count: int) -> list[int]:
        """Times of day between 8 and 22 o'clock, all over the year."""
        days = [self.rng.randrange(DAYS - 1) for _ in range(count)]
        return sorted(START + day * DAY + self.rng.randrange(8 * HOUR, 22 * HOUR) for day in days)

    def _session(self, scene: Scene, asked: float) -> None:
        chance = self.rng.random()
        if scene.channel == "dm" and chance < 0.05:
            self._call(scene)
        elif chance < asked:
            self._ask_wren(scene, "priya" if scene.channel == "dm" else self._someone(scene))
        elif chance < asked + 0.06:
            self._wren_begins(scene)
        elif chance < asked + 0.1:
            self._bot(scene)
        else:
            self._banter(scene)
        if self.rng.random() < 0.14:
            self._notice(scene)

    def _someone(self, scene: Scene, *without: str) -> str:
        # The deleted account left in spring.
        there = [key for key in self.others if key != "gone" or scene.now < START + 200 * DAY]
        return self.rng.choice([key for key in there if key not in without])

    # --- Wren is asked ------------------------------------------------------------------------------------------

    def _ask_wren(self, scene: Scene, asker: str) -> None:
        if self.rng.random() < 0.02:
            # The same words every time: validate drops all but one as exact duplicates.
            scene.say("viktor" if scene.channel != "dm" else "priya", "Morning! Who opens the shed today?", wait=(1, 3))
            scene.say("wren", "ahoy, i do, at nine sharp, fair winds 🦉")
            return
        late = scene.now >= START + LATE * DAY
        for number in range(1 if self.rng.random() < 0.75 else 2):
            topic = self._topic(late)
            slots = self._slots(topic, scene, asker)
            asks = topic["late"] if late and "late" in topic and self.rng.random() < 0.4 else topic["ask"]
            mood = topic.get("mood", "first")
            self._exchange(scene, asker, asks, topic["answer"], slots, mood, self._around(number))
            follow_ups = topic.get("more", [])
            for more in self.rng.sample(follow_ups, k=min(len(follow_ups), self.rng.choice([0, 1, 1, 2]))):
                self._exchange(scene, asker, more["ask"], more["answer"], slots, "more")
        thanks = self.tables["thanks"]
        ending = self.rng.random()
        if ending < 0.25:
            self._exchange(scene, asker, thanks["ask"], thanks["answer"], slots, "more")
        elif ending < 0.4:
            scene.say(asker, self._styled(asker, expand(self.rng, self.rng.choice(thanks["ask"]), {})))

    def _topic(self, late: bool) -> Mapping[str, Any]:
        topics = self.tables["topics"].values()
        new = late and self.rng.random() < 0.12
        there = [topic for topic in topics if (topic.get("season") == "late") == new]
        return self.rng.choices(there, [topic.get("weight", 1) for topic in there])[0]

    def _slots(self, topic: Mapping[str, Any], scene: Scene, *speakers: str) -> dict[str, str]:
        """The topic's slots, and somebody else of the channel: {member} as a name, {key} to be mentioned."""
        key = self._someone(scene, "gone", *speakers)
        member = {"member": self.people[key]["nicknames"][0], "key": key}
        return draw_slots(self.rng, topic, self.pools) | member

    def _around(self, number: int) -> list[str]:
        """Templates to say with the question; "" stands for the question itself."""
        if number:
            return [self.rng.choice(self.tables["again"]), ""]
        hello = [self.rng.choice(self.tables["hello"])] if self.rng.random() < 0.4 else []
        why = [self.rng.choice(self.tables["why"])] if self.rng.random() < 0.35 else []
        return [*hello, "", *why]

    def _exchange(
        self,
        scene: Scene,
        asker: str,
        asks: list[str],
        answers: list[str],
        slots: Mapping[str, str],
        mood: str,
        around: list[str] | None = None,
    ) -> None:
        """A question in the asker's style, with what is said around it, and Wren's answer."""
        lines = [line or self.rng.choice(asks) for line in around or [""]]
        bubbles = [expand(self.rng, line, slots) for line in lines]
        if self.rng.random() < 0.5:
            bubbles = [" ".join(re.sub(r"(?<=\w)$", ",", bubble) for bubble in bubbles).rstrip(",")]
        wait = (1, 3) if not scene.posts else (20, 600)
        asked = scene.burst(asker, [self._styled(asker, bubble) for bubble in bubbles], wait=wait)
        if self.rng.random() < 0.08:
            self._aside(scene, asker, slots)
        reply = asked if self.rng.random() < 0.3 else None
        scene.burst("wren", self._voiced(mood, answers, slots, asker), wait=(20, 500), reply_to=reply)

    def _voiced(self, mood: str, answers: list[str], slots: Mapping[str, str], asker: str = "") -> list[str]:
        name = asker if asker != "gone" and self.rng.random() < 0.04 else ""
        return voiced(self.rng, mood, expand(self.rng, self.rng.choice(answers), slots), name=name)

    def _styled(self, author: str, text: str) -> str:
        return styled(self.rng, self.people[author]["style"], text)

    def _aside(self, scene: Scene, asker: str, slots: Mapping[str, str]) -> None:
        """Something between question and answer: a picture, a third person, a bot."""
        chance = self.rng.random()
        if scene.channel == "dm" or chance < 0.4:
            number = str(scene.now)[-6:]
            name = f"photo_{number}.jpg"
            url = f"https://cdn.example/attachments/{number}/{name}"
            photo = {"id": f"5000000000000{number}", "url": url, "fileName": name, "fileSizeBytes": 9000 + int(number)}
            scene.say(asker, "", wait=(3, 20), more={"attachments": [photo]})
        elif chance < 0.9:
            third = self._someone(scene, asker, "gone")
            scene.say(third, self._styled(third, expand(self.rng, self.rng.choice(self.tables["aside"]), slots)))
        else:
            self._bot(scene)

    def _late_answers(self, written: list[Post]) -> Iterator[Post]:
        """Wren answers hours later, by a reply that joins the old session, or days later to what is long gone by."""
        questions = [post for post in written if post.author in self.others and "?" in post.text]
        for question in self.rng.sample(questions, k=6):
            wait = self.rng.choice([2, 5, 9, 20, 30, 70]) * HOUR + self.rng.randrange(1, 1_200_000)
            text = "\n".join(voiced(self.rng, "trouble", self.rng.choice(self.tables["late_answers"])))
            yield Post(question.channel, question.time + wait, "wren", text, "Reply", question)

    # --- everything else ----------------------------------------------------------------------------------------

    def _wren_begins(self, scene: Scene) -> None:
        opening = self.rng.choice(self.tables["openings"])
        someone = self._someone(scene)
        slots = self._slots({}, scene, someone) | {"thing": self.rng.choice(self.tables["things"])}
        scene.burst("wren", self._voiced("first", [opening["say"]], slots), wait=(1, 3))
        self._exchange(scene, someone, opening["ask"], opening["answer"], slots, "more")

    def _banter(self, scene: Scene) -> None:
        pair = self.rng.sample([key for key in self.others if key != "gone"], k=2)
        slots = self._slots({}, scene, *pair) | {"thing": self.rng.choice(self.tables["things"])}
        for number, line in enumerate(self.rng.choice(self.tables["banter"])):
            text = self._styled(pair[number % 2], expand(self.rng, line, slots))
            scene.say(pair[number % 2], text, wait=(5, 400) if number else (1, 3))

    def _bot(self, scene: Scene) -> None:
        slots = draw_slots(self.rng, {}, self.pools)
        slots |= {"hour": str(self.rng.randrange(1, 7)), "low": str(self.rng.randrange(7, 13))}
        command = expand(self.rng, self.rng.choice(self.tables["system"]["command"]), slots)
        asked = scene.say(self._someone(scene), command, wait=(1, 9))
        answer = expand(self.rng, self.rng.choice(self.tables["system"]["bot"]), slots)
        scene.burst("tidewatch", [answer], wait=(1, 3), reply_to=asked)

    def _call(self, scene: Scene) -> None:
        minutes = self.rng.randrange(2, 50)
        text = f"Started a call that lasted {minutes} minutes."
        scene.say("priya", text, wait=(1, 3), kind="Call", call_ended=scene.now + minutes * 60_000)

    def _notice(self, scene: Scene) -> None:
        """What is no speech, at a session's end: a pin, a sticker, a forward, a slash command, a system message."""
        kind = self.rng.choice(["pin", "sticker", "forward", "slash", "notice"])
        someone = "priya" if scene.channel == "dm" else self._someone(scene, "gone")
        if kind == "pin":
            place = self.rng.randrange(len(scene.posts))
            scene.posts[place] = pinned = replace(scene.posts[place], more={"isPinned": True})
            scene.say(someone, "Pinned a message.", kind="ChannelPinnedMessage", reply_to=pinned)
        elif kind == "sticker":
            sticker = {"id": "600000000000000001", "name": "Wave", "format": "Apng"}
            scene.say(someone, "", more={"stickers": [sticker | {"sourceUrl": "https://cdn.example/stickers/1.png"}]})
        elif kind == "forward":
            said = {
                "timestamp": "2025-08-30T18:00:00+00:00",
                "timestampEdited": None,
                "content": "the pier is open again",
            }
            old: dict[str, Any] = {**said, "attachments": [], "embeds": [], "stickers": []}
            scene.say(someone, "", more={"forwardedMessage": old})
        elif kind == "slash":
            user = {"id": self.people[someone]["id"], "name": self.people[someone]["name"], "isBot": False}
            slash = {"id": "700000000000000001", "name": "tide", "user": user}
            scene.say("tidewatch", "Neap tide until the weekend.", kind="20", more={"interaction": slash})
        else:
            notice = self.rng.choice(self.tables["system"]["notices"])
            scene.say(someone, notice["text"], kind=notice["kind"])
