"""The chat page in a real browser."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parley.conversation import Turn
from parley.errors import ParleyError
from parley.files import read_json
from tools.chat_web import arguments, auth_of, launch, message, page, turns_of
from tools.chatting import tuned

CHROMIUM = Path("/usr/bin/chromium")
XSS = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>"


def test_others_are_let_in_only_by_name_and_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARLEY_CHAT_AUTH", raising=False)
    assert auth_of(arguments([])) is None
    for line in (["--share"], ["--host", "0.0.0.0"]):
        with pytest.raises(ParleyError, match="PARLEY_CHAT_AUTH=name:password"):
            auth_of(arguments(line))
    monkeypatch.setenv("PARLEY_CHAT_AUTH", "me:a:b")
    assert auth_of(arguments(["--share"])) == ("me", "a:b")
    monkeypatch.setenv("PARLEY_CHAT_AUTH", "me:")
    with pytest.raises(ParleyError):
        auth_of(arguments(["--share"]))


def test_the_options_of_the_older_page_are_there() -> None:
    line = "--model-path out/final --base-model a/b --port 7861 --no-4bit --max-new-tokens 9 --share"
    given = arguments(line.split())
    assert (given.model_path, given.base_model, given.port) == ("out/final", "a/b", 7861)
    assert (given.in_4bit, given.max_new_tokens, given.share, given.host) == (False, 9, True, "127.0.0.1")


def test_a_text_that_the_page_holds_in_parts_is_one_turn() -> None:
    parts = [{"type": "text", "text": "he"}, {"type": "text", "text": "llo"}]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": "hi"}]
    assert turns_of(messages) == [Turn("user", "hello"), Turn("assistant", "hi")]
    assert turns_of([message("user", f"{XSS} &amp; &lt;")]) == [Turn("user", f"{XSS} &amp; &lt;")]


@pytest.fixture(scope="module")
def served(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The page's address, and the folder that it works in; the base is the model too."""
    root, before = tmp_path_factory.mktemp("chat"), Path.cwd()
    os.chdir(root)
    line = f"--model-path {tiny_base} --base-model {tiny_base} --port 0 --temperature 0 --max-new-tokens 1500"
    given = arguments(line.split())
    given.port = None  # any that is free
    made = page(given, tuned(given))
    _, address, _ = launch(made, given, None, prevent_thread_lock=True, quiet=True)
    yield address, root
    made.close()
    os.chdir(before)


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium at /usr/bin/chromium")
def test_a_person_types_sees_the_answer_grow_stops_it_and_saves(served: tuple[str, Path]) -> None:
    from playwright.sync_api import expect, sync_playwright

    address, root = served
    asked: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        tab = browser.new_page()
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(address)

        def send(text: str) -> None:
            tab.locator("#text textarea").fill(text)
            tab.locator("#text textarea").press("Enter")

        def length() -> int:
            return len(tab.locator("#tuned .bot").last.inner_text())

        send(XSS)
        # What was typed stands there as text, and nothing of it ran.
        expect(tab.locator("#tuned .user").last).to_contain_text(XSS, timeout=30_000)
        assert tab.title() == "parley" and tab.locator("#tuned .user img").count() == 0
        tab.locator("#tuned .bot").first.wait_for(timeout=30_000)
        tab.wait_for_function("document.querySelector('#tuned .bot').innerText.length > 20", timeout=30_000)
        first = length()
        tab.wait_for_function(f"document.querySelector('#tuned .bot').innerText.length > {first}", timeout=30_000)
        tab.locator("#stop").click()
        tab.wait_for_timeout(500)
        ended = length()
        tab.locator("#save").click()
        expect(tab.locator("#note")).to_contain_text("Saved: data/chats/", timeout=30_000)
        (kept,) = (root / "data/chats").iterdir()
        row: dict[str, Any] = read_json(kept)
        assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt"]
        assert row["conversations"][0]["value"] == XSS
        # Nothing came after Stop, and the rest of the 1,500 tokens was never written.
        assert length() == ended
        assert len(row["conversations"][1]["value"]) < ended + 50

        tab.locator("#reset").click()
        expect(tab.locator("#tuned .bot")).to_have_count(0, timeout=30_000)
        tab.get_by_label("The base beside").check()
        tab.locator("#base").wait_for(timeout=30_000)
        tab.get_by_text("Settings").click()
        tab.get_by_label("number input for Longest answer").fill("6")
        send("Hello")
        expect(tab.locator("#base .bot")).to_have_count(1, timeout=30_000)
        browser.close()
    assert asked and not [url for url in asked if not url.startswith((address, "data:", "blob:"))]
