"""The check's page, opened in a real browser."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def page_file(folder: Path, report: Callable[..., dict[str, Any]]) -> Path:
    """The page of a check with two cases, a warning and hostile words in a log."""
    script = folder / "predict.sh"
    script.write_text(f"'{HOSTILE}'\n" + script.read_text())
    checked = report(folder, "--only", "bundled-slice")
    return Path(checked["folder"], "index.html")


def test_the_page_opens_by_itself(page_file: Path, chromium: str) -> None:
    """The verdict is first; each call has its picture; nothing is loaded, run or broken."""
    problems: list[str] = []
    requests: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("console", lambda message: problems.append(message.text))
        page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(page_file.as_uri())
        assert page.locator("h1").inner_text().startswith("PASS WITH 1 WARNING ")
        assert HOSTILE in page.locator("body").inner_text()
        assert page.locator("img").count() == 0
        captions = page.locator("figcaption").all_inner_texts()
        assert [caption.split(":")[0] for caption in captions] == ["1 box", "2 click"] * 2
        drawn = page.evaluate(
            "[...document.querySelectorAll('.layers,.layers span')]"
            ".every(e => getComputedStyle(e).backgroundImage.includes('data:image') "
            "&& e.getBoundingClientRect().height > 40)"
        )
        browser.close()
    assert drawn
    assert problems == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


def test_every_answer_has_its_own_picture(page_file: Path, chromium: str) -> None:
    """The answer after the click is drawn otherwise than the one after the box."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(page_file.as_uri())
        shots = [layer.screenshot() for layer in page.locator(".layers").all()[:2]]
        browser.close()
    assert shots[0] != shots[1]
