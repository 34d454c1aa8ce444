"""make judge-plan, judge-cache, judge-check and label, as a person uses them."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from parley.errors import ParleyError
from parley.jsonl import rows_of
from stages import judge
from tests.judged import KEY, eval_files, good_judge, settings
from tests.loopback import JudgeServer, reply, verdict
from tools.judge_cache import judge_cache
from tools.judge_check import judge_check
from tools.judge_plan import PRICES, judge_plan
from tools.label import ENOUGH, LABELS, agreement, label

BOTH = ["correctness", "coherence"]


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def console(said: io.StringIO) -> Console:
    return Console(file=said, width=200)


def table(said: io.StringIO) -> dict[str, list[str]]:
    """First cell -> the others, for each line that was printed."""
    return {cells[0]: cells[1:] for line in said.getvalue().splitlines() if (cells := line.split())}


def test_the_plan_counts_what_the_stage_then_asks(
    tmp_path: Path, console: Console, said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    eval_files(tmp_path, 4)
    with JudgeServer(otherwise=good_judge) as server:
        settings(tmp_path, server, metrics=BOTH, pairwise=True, controls=2, max_calls=200)
        judge_plan(tmp_path, PRICES, console)  # without a key
        assert server.requests == []
        planned = table(said)
        assert planned["coherence"] == ["8", "0", "8"]
        assert planned["pairwise"] == ["8", "0", "8"]
        assert planned["controls"] == ["48", "0", str(2 * (5 * 2 + 8))]
        assert "no price for gemini-test" in said.getvalue()
        monkeypatch.setenv("GEMINI_API_KEY", KEY)
        judge.main(tmp_path)
        assert len(server.requests) == int(planned["all"][2].replace(",", "")) == 8 + 8 + 8 + 36
        prompts = sum(len(request["prompt"]) for request in server.requests)
        assert f"about {prompts // 4:,} in" in said.getvalue()
        judge_plan(tmp_path, PRICES, console)
        assert table(said)["all"][2] == "0"
        assert "20 a call, the mean of kept answers" in said.getvalue()


def test_prices_of_your_own_are_used(tmp_path: Path, console: Console, said: io.StringIO) -> None:
    eval_files(tmp_path, 2)
    settings(tmp_path)
    prices = tmp_path / "prices.yaml"
    prices.write_text('date: "2026-01-01"\nmodels:\n  gemini-test:\n    input: 0\n    output: 1000\n')
    judge_plan(tmp_path, prices, console)
    assert "cost: about $0.60, at $0 in and $1000 out a million (2026-01-01)" in said.getvalue()  # 4 calls of 150
    prices.write_text("models: {}\n")
    with pytest.raises(ParleyError, match=r"prices.yaml: date: Field required"):
        judge_plan(tmp_path, prices, console)


def test_a_plan_over_the_budget_says_so(tmp_path: Path, console: Console, said: io.StringIO) -> None:
    eval_files(tmp_path, 2)
    settings(tmp_path, max_calls=3)
    judge_plan(tmp_path, PRICES, console)
    assert "judge.max_calls is 3" in said.getvalue()


def test_the_cache_is_shown_and_pruned_only_when_told(
    tmp_path: Path, console: Console, said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    path = tmp_path / ".judge/answers.sqlite"
    judge_cache(path, console)
    assert "no judge has answered yet" in said.getvalue()
    eval_files(tmp_path, 3)
    with JudgeServer(otherwise=lambda prompt: reply(verdict(4, reason="mauve"))) as server:
        settings(tmp_path, server)
        judge.main(tmp_path)
        judge_cache(path, console, model="another", yes=True)
        judge_cache(path, console, older=1, yes=True)
        judge_cache(path, console, model="gemini-test")
        assert table(said)["gemini"][:3] == ["gemini-test", "6", "0"]
        assert "6 answers would go" in said.getvalue()
        assert said.getvalue().count("\n0 answers removed") == 2
        judge.main(tmp_path)
        assert len(server.requests) == 6
        judge_cache(path, console, model="gemini-test", yes=True)
        assert not [file for file in path.parent.iterdir() if b"mauve" in file.read_bytes()]
        judge.main(tmp_path)
        assert len(server.requests) == 12


def test_the_check_asks_about_controls_alone(
    tmp_path: Path, console: Console, said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    eval_files(tmp_path, 12)
    with JudgeServer(otherwise=good_judge) as server:
        settings(tmp_path, server, controls=0)
        with pytest.raises(ParleyError, match="no GEMINI_API_KEY: put a key"):
            judge_check(tmp_path, console)
        monkeypatch.setenv("GEMINI_API_KEY", KEY)
        judge_check(tmp_path, console, count=3)
        assert len(server.requests) == 3 * 5
        judge_check(tmp_path, console)
        assert 3 * 5 < len(server.requests) <= 13 * 5
    assert "data/labels.jsonl is not there" in said.getvalue()
    assert not (tmp_path / "metrics").exists()


def typed(console: Console, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    left = iter(lines)
    monkeypatch.setattr(console, "input", lambda prompt: next(left))


def test_labels_are_kept_one_by_one_and_asked_for_once(
    tmp_path: Path, console: Console, said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    eval_files(tmp_path, 3)
    settings(tmp_path, metrics=BOTH)
    (tmp_path / "data/eval/verdicts.jsonl").write_bytes(b"")
    typed(console, monkeypatch, "7", "eleven", "11", "-1", "0", "s", "q")
    label(tmp_path, console)
    rows = [row for _, row in rows_of(tmp_path / LABELS)]
    assert [row["score"] for row in rows] == [7, 0]
    shown = said.getvalue()
    assert shown.count("answer: ") == 4
    assert "tuned" not in shown and "base" not in shown
    for text in (b"blue", b"green", b"number", b"it is"):
        assert text not in (tmp_path / LABELS).read_bytes()
    typed(console, monkeypatch, *["5"] * 20)
    label(tmp_path, console)
    rows = [row for _, row in rows_of(tmp_path / LABELS)]
    assert len(rows) == len({(row["answer"], row["metric"]) for row in rows}) == 3 * 2 * 2
    assert [row["score"] for row in rows[:2]] == [7, 0]
    # Another experiment's answers are other answers; the base's stay labelled.
    eval_files(tmp_path, 3, texts={"tuned": "grey"})
    typed(console, monkeypatch, "q")
    said.truncate(0)
    label(tmp_path, console)
    assert "12 scores in data/labels.jsonl, 6 to give" in said.getvalue()


@pytest.mark.parametrize(
    ("cases", "yours", "line"),
    [
        (24, lambda n: n, "48 answers scored by you and by the judge: too few to say (50 needed)"),
        (40, lambda n: n, "n = 80: the judge agrees with you"),
        (40, lambda n: (7 * n) % 11, "not shown to agree with you"),
        (40, lambda n: 3, "not shown to agree with you"),
    ],
)
def test_nothing_agrees_below_fifty_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cases: int, yours: object, line: str
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    eval_files(tmp_path, cases)

    def by_number(prompt: str) -> object:
        return reply(verdict(int(prompt.split("what is number ")[1].split("?")[0]) % 11))

    with JudgeServer(otherwise=by_number) as server:  # type: ignore[arg-type]
        settings(tmp_path, server)
        judge.main(tmp_path)
    assert ENOUGH == 50
    console = Console(file=io.StringIO())
    asked: list[str] = []
    monkeypatch.setattr(console, "print", lambda *parts, **options: asked.extend(str(part) for part in parts))

    def person(prompt: str = "") -> str:
        number = next(int(text.split("number ")[1].rstrip("?")) for text in reversed(asked) if "number " in text)
        return str(yours(number) % 11)  # type: ignore[operator]

    monkeypatch.setattr(console, "input", person)
    label(tmp_path, console)
    (found,) = agreement(tmp_path, 7)
    assert found.startswith("coherence: ") and line in found
    eval_files(tmp_path, cases, texts={"tuned": "grey"})  # made again, and not judged yet
    with pytest.raises(ParleyError, match=r"was made of another tuned\.jsonl"):
        list(agreement(tmp_path, 7))
