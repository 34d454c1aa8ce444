"""Pictures of the pages of a run, for docs/images: python -m tools.screenshots [--chromium PATH] [--look FOLDER]

    metrics/report.html, metrics/compare.html, models/merged ─headless Chromium→ docs/images/{report,compare,chat}.png

The picture of the chat page shows a conversation with models/merged, its likeliest answers. What is not there is left
out. `--look` writes whole pages at three widths and as on paper instead, to look at.
"""

import argparse
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from parley.errors import ParleyError
from tools import chat_web, told
from tools.chatting import tuned

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAGES = ("report", "compare")
WIDTHS = {"phone": 390, "tablet": 820, "desk": 1280}
HEIGHT = 900  # of the window: a picture for docs shows the top of a page
TALK_HEIGHT = 720  # of the chat page's window
QUESTIONS = ("is there a tea for hungry people?", "good to hear")  # on the picture of the chat page
COLOURS = 160  # of a picture for docs: enough for text, its edges and a few curves


def drawn(view: "Page", path: Path) -> Path:
    """Writes what the window shows, in few colours, so that the file is small; closes the window."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.open(io.BytesIO(view.screenshot())).quantize(COLOURS, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)
    view.close()
    return path


def talked(browser: "Browser", path: Path) -> Path:
    """The chat page with models/merged in the current folder, the base beside it, after a few questions."""
    given = chat_web.arguments(["--temperature", "0", "--max-new-tokens", "40"])
    given.port = None  # any that is free
    made = chat_web.page(given, tuned(given))
    _, address, _ = chat_web.launch(made, given, None, prevent_thread_lock=True, quiet=True)
    view = browser.new_page(viewport={"width": WIDTHS["desk"], "height": TALK_HEIGHT}, color_scheme="light")
    view.goto(address)
    view.get_by_label("The base beside").check()
    view.locator("#base").wait_for()
    before = ""
    for number, question in enumerate(QUESTIONS, start=1):
        view.locator("#text textarea").fill(question)
        view.locator("#text textarea").press("Enter")
        view.wait_for_function(f"document.querySelectorAll('#base .bot').length == {number}", timeout=60_000)
        while (said := view.locator("#base").inner_text()) != before:  # it grows, until it does not
            before = said
            view.wait_for_timeout(2000)
    drawn(view, path)
    made.close()
    return path


def looks(browser: "Browser", page: Path, out: Path) -> Iterator[Path]:
    """Whole pages: each width, dark too, and paper. Raises ParleyError where a page is wider than its window."""
    out.mkdir(parents=True, exist_ok=True)
    for name, width in WIDTHS.items():
        for scheme in ("light", "dark") if name == "desk" else ("light",):
            view = opened(browser, page, width, scheme)
            wide = view.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                raise ParleyError(f"{page} is {wide} pixels wide in a window of {width}")
            path = out / f"{page.stem}-{name}-{scheme}.png"
            view.screenshot(path=path, full_page=True)
            view.close()
            yield path
    view = opened(browser, page, WIDTHS["desk"])
    view.pdf(path=out / f"{page.stem}.pdf")
    yield out / f"{page.stem}.pdf"


def opened(browser: "Browser", page: Path, width: int, scheme: str = "light") -> "Page":
    """The page in a window of this width; raises ParleyError if it asks for anything or complains."""
    view = browser.new_page(viewport={"width": width, "height": HEIGHT}, color_scheme=scheme)  # type: ignore[arg-type]
    said: list[str] = []
    view.on("console", lambda message: said.append(message.text))
    view.on("request", lambda request: said.append(request.url) if request.url != page.as_uri() else None)
    view.goto(page.as_uri())
    if said:
        raise ParleyError(f"{page}: the browser said: {'; '.join(said)}")
    return view


def main(root: Path, chromium: str, look: Path | None) -> None:
    """Writes the pictures and prints their names and sizes."""
    from playwright.sync_api import sync_playwright

    pictures = root / "docs/images"
    pages = [path.resolve() for name in PAGES if (path := root / f"metrics/{name}.html").is_file()]
    talk = not look and (root / "models/merged").is_dir()
    if not pages and not talk:
        raise ParleyError("there is no page yet: `make repro` makes metrics/report.html")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium or None, args=["--no-sandbox"] * (os.geteuid() == 0))
        if look:
            made = [path for page in pages for path in looks(browser, page, look)]
        else:
            made = [drawn(opened(browser, page, WIDTHS["desk"]), pictures / f"{page.stem}.png") for page in pages]
        made += [talked(browser, pictures / "chat.png")] if talk else []
        for path in made:
            print(f"screenshots: {path}: {path.stat().st_size:,} bytes")
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.screenshots")
    parser.add_argument("--chromium", default=shutil.which("chromium") or "", help="the browser (found on PATH)")
    parser.add_argument("--look", type=Path, help="folder for whole pages at every width")
    asked = parser.parse_args()
    with told("screenshots"):
        main(Path(), asked.chromium, asked.look)
