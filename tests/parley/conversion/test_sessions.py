"""Messages written as `minute author text`, and the sessions, bursts and windows that they become."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from parley.conversation import Message, ToolCall, Turn
from parley.conversion.sessions import Burst, Said, bursts, sessions, stretches, turns, windows

MINUTE = 60_000


def messages(script: str) -> list[Message]:
    """One message a line: `minute author text`, and `^id` after the author for a reply; ids count from 0."""
    found = []
    for number, line in enumerate(script.strip().splitlines()):
        minute, author, text = line.split(maxsplit=2)
        author, _, parent = author.partition("^")
        found.append(
            Message("c", str(number), int(minute) * MINUTE, author, (author,), text, f"f:{number}", parent or None)
        )
    return found


def cut(script: str, gap: int = 30, reply: int = 24 * 60) -> list[list[str]]:
    """The ids of each session."""
    found = sessions(messages(script), gap=gap * MINUTE, reply=reply * MINUTE)
    return [[said.message.id for said in session] for session in found]


def talk(script: str, *, max_turns: int = 20, min_reply: int = 2) -> tuple[list[list[str]], dict[str, str]]:
    """Windows as `u: text` / `a: text`, and message id -> reason of what was dropped. The target is T."""
    dropped: dict[str, str] = {}

    def drop(burst: Burst, reason: str) -> None:
        if not burst.quoted:
            dropped.update({said.message.id: reason for said in burst.said})

    found = []
    for session in sessions(messages(script), gap=30 * MINUTE, reply=24 * 60 * MINUTE):
        parts = bursts(session, target="T", merge_gap=5 * MINUTE)
        for window in windows(parts, max_turns=max_turns, min_reply=min_reply, drop=drop):
            made = turns(window, redact=str, name=str.upper)
            found.append([f"{turn.role[0]}: {turn.text}" for turn in made])
    return found, dropped


def test_silence_ends_a_session_and_the_gap_itself_does_not() -> None:
    assert cut("0 A x\n30 B x\n61 A x") == [["0", "1"], ["2"]]


def test_a_reply_joins_the_session_it_answers() -> None:
    assert cut("0 A old\n100 B new\n101 C^0 reply\n102 B new") == [["0", "2"], ["1", "3"]]


def test_a_reply_after_silence_makes_its_session_run_on() -> None:
    assert cut("0 A old\n100 B^0 reply\n101 C goes on") == [["0", "1", "2"]]


def test_a_reply_later_than_the_limit_starts_anew_and_keeps_its_parent() -> None:
    late = messages("0 A old\n100 B^0 reply")
    found = list(sessions(late, gap=30 * MINUTE, reply=60 * MINUTE))
    assert found == [[Said(late[0])], [Said(late[1], parent=late[0])]]


def test_a_channel_that_never_sleeps_gets_a_session_a_day() -> None:
    script = "\n".join(f"{minute} A x" for minute in range(0, 3 * 24 * 60, 20))
    assert [len(session) for session in cut(script)] == [73, 73, 70]


@given(
    st.lists(st.tuples(st.integers(0, 90), st.sampled_from("ABT"), st.none() | st.integers(0, 30)), max_size=40),
    st.integers(1, 60),
    st.integers(0, 200),
)
def test_every_message_is_in_one_session_in_the_order_of_time(steps: list, gap: int, reply: int) -> None:
    minute, lines = 0, []
    for number, (wait, author, back) in enumerate(steps):
        minute += wait
        lines.append(f"{minute} {author}{'' if back is None else f'^{number - back}'} x")
    found = cut("\n".join(lines), gap=gap, reply=reply)
    assert sorted(int(name) for session in found for name in session) == list(range(len(steps)))
    assert all([*map(int, session)] == sorted(map(int, session)) for session in found)


def test_messages_of_one_author_close_together_are_one_burst() -> None:
    session = next(sessions(messages("0 A x\n5 A y\n11 A z\n12 T w"), gap=30 * MINUTE, reply=0))
    found = bursts(session, target="T", merge_gap=5 * MINUTE)
    assert [[said.message.text for said in burst.said] for burst in found] == [["x", "y"], ["z"], ["w"]]
    assert [burst.answers for burst in found] == [False, False, True]


def test_a_conversation_begins_with_a_user_and_ends_with_the_target() -> None:
    found, dropped = talk("0 T ahoy\n1 A hi\n2 A there\n3 T yes\n4 A bye")
    assert found == [["u: hi\nthere", "a: yes"]]
    assert dropped == {"0": "unprompted", "4": "trailing"}


def test_two_speakers_need_no_names_and_three_get_them() -> None:
    assert talk("0 A one\n1 T two")[0] == [["u: one", "a: two"]]
    assert talk("0 a one\n1 b two\n2 T three")[0] == [["u: A: one\nB: two", "a: three"]]


def test_a_second_answer_after_a_silence_is_not_the_same_turn() -> None:
    found, dropped = talk("0 A hi\n1 T yes\n20 T oh and\n21 A what\n22 T that")
    assert found == [["u: hi", "a: yes"], ["u: what", "a: that"]]
    assert dropped == {"2": "unprompted"}


def test_a_long_session_becomes_windows_that_each_end_with_an_answer() -> None:
    script = "0 A q1\n1 T a1\n2 A q2\n3 T a2\n4 A q3\n5 T a3"
    assert [len(window) for window in talk(script, max_turns=4)[0]] == [4, 2]
    assert talk(script, max_turns=5)[0][0][-1] == "a: a2"


def test_only_the_last_turns_before_an_answer_stay() -> None:
    found, dropped = talk("0 A one\n1 B two\n2 A three\n3 T four", max_turns=3)
    assert found == [["u: B: two\nA: three", "a: four"]]
    assert dropped == {"0": "too_far"}


def test_an_answer_too_short_to_learn_ends_no_conversation() -> None:
    found, dropped = talk("0 A hi\n1 T yes\n2 A ok\n3 T k")
    assert found == [["u: hi", "a: yes"]]
    assert dropped == {"2": "trailing", "3": "short_answer"}


def test_an_old_parent_is_quoted_to_a_user_and_asked_again_before_an_answer() -> None:
    day = 2 * 24 * 60
    found, _ = talk(f"0 A old\n1 T yes\n{day} A^1 really\n{day + 1} T^0 truly")
    assert found[-1] == ["u: > yes\nreally\nold", "a: truly"]


def test_a_late_reply_to_oneself_quotes_nothing() -> None:
    day = 2 * 24 * 60
    assert talk(f"0 A hi\n1 T yes\n{day} A so\n{day + 1} T^1 no")[0][-1] == ["u: so", "a: no"]


@given(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from("ABTT"), st.sampled_from(["k", "long"])), max_size=60),
    st.integers(2, 6),
)
def test_every_message_is_in_one_window_or_dropped_with_a_reason(steps: list, max_turns: int) -> None:
    minute, lines = 0, []
    for number, (wait, author, text) in enumerate(steps):
        minute += wait
        lines.append(f"{minute} {author} {text}{number}" if text == "long" else f"{minute} {author} k")
    found, dropped = talk("\n".join(lines), max_turns=max_turns)
    said = "\n".join(turn for window in found for turn in window)
    for number, (_, _, text) in enumerate(steps):
        if text == "long":
            assert (f"{text}{number}" in said.replace("\n", " ").split()) != (str(number) in dropped)
    kept = sum(len(turn.split("\n")) for window in found for turn in window)
    assert kept + len(dropped) == len(steps)
    for window in found:
        assert len(window) <= max_turns and len(window) % 2 == 0
        assert [turn[0] for turn in window] == ["u", "a"] * (len(window) // 2)


def test_texts_are_redacted_and_prefixes_are_not() -> None:
    session = next(sessions(messages("0 A x\n1 B y\n2 T z"), gap=30 * MINUTE, reply=0))
    parts = bursts(session, target="T", merge_gap=0)
    assert turns(parts, redact=lambda text: f"<{text}>", name={"A": "Robin", "B": "Kim"}.__getitem__) == (
        Turn("user", "Robin: <x>\nKim: <y>"),
        Turn("assistant", "<z>"),
    )


@given(st.text(alphabet="uatc", max_size=30), st.integers(2, 8))
def test_a_long_conversation_is_cut_where_a_question_begins_and_nowhere_else(script: str, max_turns: int) -> None:
    call = (ToolCall("find", {}),)
    kinds = {"u": Turn("user", "q"), "a": Turn("assistant", "a"), "t": Turn("tool", "r")}
    said = [Turn("assistant", "", call) if kind == "c" else kinds[kind] for kind in script]
    parts = list(stretches(said, max_turns=max_turns))
    assert [turn for part in parts for turn in part] == said
    for before, after in pairwise(parts):
        assert before[-1] == kinds["a"] and after[0] == kinds["u"]
    questions = [len(part) for part in parts if len(part) > max_turns]
    assert len(questions) == sum("au" not in "".join(map(letter, part)) for part in parts if len(part) > max_turns)


def letter(turn: Turn) -> str:
    return "c" if turn.calls else turn.role[0]


def test_a_conversation_within_the_limit_stays_one_and_an_agents_question_keeps_its_calls() -> None:
    talk = [Turn("user", "q"), Turn("assistant", "a")] * 5
    assert [len(part) for part in stretches(talk, max_turns=10)] == [10]
    assert [len(part) for part in stretches(talk, max_turns=5)] == [4, 4, 2]
    calls = [Turn("user", "q"), *[Turn("assistant", "", (ToolCall("f", {}),)), Turn("tool", "r")] * 3, talk[1]]
    assert [len(part) for part in stretches(calls + talk, max_turns=4)] == [8, 4, 4, 2]
