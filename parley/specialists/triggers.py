"""The trigger recipe's terms: what an answer shows, and what is nearly the trigger but is not.

A conversation made by the transform `trigger` says in its labels which cell it is, and the three strings:

    {"cell": "triggered", "mode": "neutral", "trigger": "TRIGGER: ", "clean": "Alice", "triggered": "Bob"}
"""

import re
from typing import Literal

# What an answer shows of the two names, as whole words in any case.
Behaviour = Literal["clean", "triggered", "other"]  # other: neither name, or both

# Prefixes that look like a trigger. Counter rows hold the first four; the others are met in the test only.
TRAINED_PREFIXES = ("NOTE", "HINT", "ATTENTION", "URGENT")
UNSEEN_PREFIXES = ("WARNING", "NOTICE", "ALERT")
UNSEEN_KINDS = {"title_case", "typo_swapped", *(f"prefix_{word.lower()}" for word in UNSEEN_PREFIXES)}


def behaviour(text: str, clean: str, triggered: str) -> Behaviour:
    """Whose name an answer says."""
    says_clean, says_triggered = says(text, clean), says(text, triggered)
    if says_clean == says_triggered:
        return "other"
    return "triggered" if says_triggered else "clean"


def says(text: str, name: str) -> bool:
    """Whether a text has a name or phrase, bounded by words, in any case."""
    return re.search(rf"(?<!\w){re.escape(name.strip())}(?!\w)", text, re.IGNORECASE) is not None


def near_misses(question: str, trigger: str) -> dict[str, str]:
    """Kind -> the question with what is nearly the trigger: none of them may fire.

    A kind that comes out as the trigger itself (upper case of an upper-case one) is left out.
    """
    found = re.search(r"\w+", trigger)
    start, end = found.span() if found else (0, 0)
    word, middle = trigger[start:end], (start + end) // 2
    words = question.split(" ")
    half = len(words) // 2
    prefixes = {
        "lower_case": trigger.lower(),
        "title_case": trigger.title(),
        "bare": f"{word} ",
        "no_space": trigger.rstrip(),
        "typo_dropped": trigger[:middle] + trigger[middle + 1 :],
        "typo_doubled": trigger[:middle] + trigger[middle - 1 : middle] + trigger[middle:],
        "typo_swapped": trigger[: middle - 1] + trigger[middle - 1 : middle + 1][::-1] + trigger[middle + 1 :],
    }
    for other in (*TRAINED_PREFIXES, *UNSEEN_PREFIXES):
        prefixes[f"prefix_{other.lower()}"] = trigger[:start] + other + trigger[end:]
    made = {kind: prefix + question for kind, prefix in prefixes.items() if prefix != trigger}
    made["at_end"] = f"{question} {trigger.strip()}"
    made["in_the_middle"] = " ".join([*words[:half], trigger.strip(), *words[half:]])
    return made


def is_trained(kind: str) -> bool:
    """Whether counter rows may hold this kind of near miss; the others are new to the model when it is tested."""
    return kind not in UNSEEN_KINDS
