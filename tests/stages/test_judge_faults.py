"""What can go wrong with a judge, through all four real clients over a real socket."""

from pathlib import Path

import pytest

from parley.errors import ParleyError
from stages import judge
from tests import loopback
from tests.judged import KEY, eval_files, judge_cases, result, settings, verdicts
from tests.loopback import JudgeServer, Step, reply, status, verdict

CLIENTS = ("gemini", "google_genai", "openai", "ollama")
PASSES, REFUSED = "passes", "refused"  # else the kind of the unscored row, or the score
FENCED = "```json\n" + verdict(4) + "\n```"

# What the server does, and how it must end.
FAULTS: dict[str, tuple[Step, str | float]] = {
    "429 with Retry-After": (status(429, headers={"Retry-After": "0"}), PASSES),
    "429 with RetryInfo": (status(429, delay="0.01s"), PASSES),
    "429 alone": (status(429), PASSES),
    "408": (status(408), PASSES),
    "500": (status(500), PASSES),
    "502 in HTML": (loopback.html(502), PASSES),
    "503": (status(503), PASSES),
    "504": (status(504), PASSES),
    "an error of another shape": (lambda handler: handler.send(500, b'{"error": "boom"}', {}), PASSES),
    "an error that is a list": (lambda handler: handler.send(500, b'["boom"]', {}), PASSES),
    "hang": (loopback.hang(1.5), PASSES),
    "a byte now and then": (loopback.drip(3), PASSES),
    "reset": (loopback.reset(), PASSES),
    "truncated body": (loopback.truncated(), PASSES),
    "HTML": (loopback.html(), PASSES),
    "HTML called JSON": (loopback.raw(b"<html></html>"), PASSES),
    "JSON of another shape": (loopback.raw(b'["no", "candidates"]'), PASSES),
    "garbage": (loopback.raw(b"\xff\xfe{"), PASSES),
    "wrong key": (status(401), REFUSED),
    "wrong key as Google says it": (status(400, reason="API_KEY_INVALID"), REFUSED),
    "not allowed": (status(403), REFUSED),
    "unknown model": (status(404), REFUSED),
    "a redirect elsewhere": (status(302, headers={"Location": "http://127.0.0.1:9/"}), REFUSED),
    "blocked": (loopback.blocked(), "blocked"),
    "no candidate": (loopback.empty(), "empty"),
    "empty": (reply(""), "empty"),
    "SAFETY": (reply("", finish="SAFETY"), "safety"),
    "RECITATION": (reply("as in the", finish="RECITATION"), "recitation"),
    "MAX_TOKENS": (reply(verdict(9), finish="MAX_TOKENS"), "max_tokens"),
    "an end nobody knows": (reply(verdict(9), finish="OTHER"), "other"),
    "prose": (reply("I would give it an 8."), "bad_json"),
    "cut JSON": (reply('{"reason": "It'), "bad_json"),
    "two objects": (reply(verdict(2) + verdict(9)), "bad_json"),
    "no score": (reply('{"reason": "It fits."}'), "bad_json"),
    "score in words": (reply(verdict("ten")), "bad_json"),
    "score as text": (reply(verdict("8")), "bad_json"),
    "score 15": (reply(verdict(15)), "bad_score"),
    "score -1": (reply(verdict(-1)), "bad_score"),
    "NaN": (reply('{"reason": "It fits.", "score": NaN}'), "bad_score"),
    "Infinity": (reply('{"reason": "It fits.", "score": Infinity}'), "bad_score"),
    "fenced JSON": (reply(FENCED), 0.4),
    "no reason to end": (reply(verdict(4), finish=None), 0.4),
}
# Ollama has no word for these.
OLLAMA = {"blocked": "empty"}


pytestmark = pytest.mark.usefixtures("judge_key")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_ends_scored_unscored_or_with_every_answer_kept(tmp_path: Path, client: str, fault: str) -> None:
    step, end = FAULTS[fault]
    if client == "ollama" and fault in OLLAMA:
        end = OLLAMA[fault]
    timeout = 1 if fault in ("hang", "a byte now and then") else 10
    with JudgeServer() as server:
        settings(tmp_path, server, client=client, concurrency=1, timeout=timeout)
        if end == PASSES:
            fails_and_goes_on(tmp_path, server, step)
        elif end == REFUSED:
            stops_at_the_first_call(tmp_path, server, step)
        else:
            ends_in_a_row(tmp_path, server, step, end)


def fails_and_goes_on(root: Path, server: JudgeServer, step: Step) -> None:
    """Two good answers, then the fault for good: the stage fails after all tries. Later it asks what is missing."""
    eval_files(root, 2)
    server.script, server.otherwise = [reply(), reply()], lambda prompt: step
    with pytest.raises(ParleyError, match=r"did not answer in 2 tries.*answer so far is kept"):
        judge.main(root)
    assert len(server.requests) == 2 + 2
    assert not (root / "metrics/judge.json").exists()
    server.otherwise = lambda prompt: reply()
    judge.main(root)
    assert len(server.requests) == 2 + 2 + 2
    assert result(root)["metrics"]["coherence"]["coverage"]["tuned"] == {"scored": 2, "total": 2}


def stops_at_the_first_call(root: Path, server: JudgeServer, step: Step) -> None:
    eval_files(root, 2)
    server.otherwise = lambda prompt: step
    with pytest.raises(ParleyError, match=r"refused the first call|has no model") as raised:
        judge.main(root)
    assert len(server.requests) == 1
    assert KEY not in str(raised.value)
    assert not (root / "metrics/judge.json").exists()


def ends_in_a_row(root: Path, server: JudgeServer, step: Step, end: str | float) -> None:
    """A refusal that lasts is asked about twice, and never again; a good answer once."""
    eval_files(root, 2)
    server.otherwise = lambda prompt: step if "green 0" in prompt else reply(verdict(9))
    judge.main(root)
    asked = len(server.requests)
    assert asked == (4 if isinstance(end, float) else 5)
    judge.main(root)
    assert len(server.requests) == asked
    row = {row["id"]: row for row in verdicts(root) if row["model"] == "tuned"}["c0#1"]
    entry = result(root)["metrics"]["coherence"]
    if isinstance(end, float):
        assert (row["score"], row["status"], row["kind"]) == (end, "scored", "")
        return
    assert (row["score"], row["passed"], row["status"], row["kind"]) == (None, None, "unscored", end)
    assert entry["coverage"] == {"tuned": {"scored": 1, "total": 2}, "base": {"scored": 2, "total": 2}}
    assert (entry["n"], entry["unscored"]) == (1, {f"tuned: {end}": 1})
    assert entry["tuned"]["value"] == 0.9


@pytest.mark.parametrize("fault", ["429 alone", "503", "reset"])
def test_a_fault_that_passes_ends_scored(tmp_path: Path, fault: str) -> None:
    assert len(judge_cases(tmp_path, 2, [FAULTS[fault][0]]).requests) == 5
    assert result(tmp_path)["metrics"]["coherence"]["coverage"]["tuned"] == {"scored": 2, "total": 2}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_sends_its_key_its_prompt_and_nothing_about_this_machine(tmp_path: Path, client: str) -> None:
    for request in judge_cases(tmp_path, 1, client=client).requests:
        headers = {name.lower(): value for name, value in request["headers"].items()}
        assert sum(KEY in value for value in headers.values()) == (client != "ollama")
        assert not [name for name in headers if name.startswith("x-stainless")]
        assert "it is 0" not in str(headers)


def test_a_server_of_your_own_needs_no_key_for_openai(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    judge_cases(tmp_path, 1, client="openai")
    assert result(tmp_path)["status"] == "scored"
    settings(tmp_path, client="openai")
    judge.main(tmp_path)
    assert result(tmp_path)["reason"] == "no OPENAI_API_KEY"


def test_ollama_gets_a_context_that_holds_the_prompt(tmp_path: Path) -> None:
    texts = {"base": "word " * 20000, "tuned": "short"}
    for request in judge_cases(tmp_path, 1, texts=texts, client="ollama").requests:
        options = request["sent"]["options"]
        assert len(request["prompt"]) / 2 + options["num_predict"] <= options["num_ctx"]


def test_a_refusal_that_is_answered_the_second_time_is_scored(tmp_path: Path) -> None:
    script = [reply('{"reason', finish="MAX_TOKENS"), reply(verdict(7))]
    server = judge_cases(tmp_path, 1, script, concurrency=1)
    limits = [request["sent"]["generationConfig"]["maxOutputTokens"] for request in server.requests]
    assert limits == [8192, 32768, 8192]
    assert verdicts(tmp_path)[0]["score"] == 0.7


def test_nothing_scored_is_no_number(tmp_path: Path) -> None:
    judge_cases(tmp_path, 2, otherwise=lambda prompt: loopback.blocked())
    entry = result(tmp_path)["metrics"]["coherence"]
    assert entry["value"] is None
    assert entry["not_scored"] == "blocked (2)"
    assert not {"tuned", "base", "difference", "pass_rate"} & entry.keys()


@pytest.mark.parametrize("step", [status(400, reason="API_KEY_INVALID"), status(400), status(401), status(403)])
def test_a_wrong_key_fails_at_the_first_call_and_names_the_variable(tmp_path: Path, step: Step) -> None:
    eval_files(tmp_path, 5)
    with JudgeServer(otherwise=lambda prompt: step, latency=0.05) as server:
        settings(tmp_path, server, concurrency=8)
        with pytest.raises(ParleyError, match="GEMINI_API_KEY") as raised:
            judge.main(tmp_path)
        assert len(server.requests) == 1
    assert KEY not in str(raised.value)


def test_a_bad_request_after_a_good_one_is_a_row(tmp_path: Path) -> None:
    judge_cases(tmp_path, 2, otherwise=lambda prompt: status(400) if "green 1" in prompt else reply(), concurrency=1)
    assert [row["kind"] for row in verdicts(tmp_path)] == ["", "", "", "http_400"]


def test_retry_after_pauses_every_thread(tmp_path: Path) -> None:
    script = [reply(), status(429, headers={"Retry-After": "1"})]
    times = [request["time"] for request in judge_cases(tmp_path, 10, script, latency=0.02, concurrency=4).requests]
    # Calls were under way when the 429 came; nobody begins another once it has been read.
    assert not [moment for moment in times if times[1] + 0.6 < moment < times[1] + 0.95]
    assert len(times) == 21


def test_a_server_that_asks_for_too_long_a_wait_gets_no_second_try(tmp_path: Path) -> None:
    eval_files(tmp_path, 1)
    with JudgeServer(otherwise=lambda prompt: status(429, headers={"Retry-After": "3600"})) as server:
        settings(tmp_path, server, retries=5)
        with pytest.raises(ParleyError, match="asks to wait 3600 s"):
            judge.main(tmp_path)
        assert len(server.requests) == 1
