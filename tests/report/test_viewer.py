"""The viewer in a real browser, served as `segarena view` does, drawn by software."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image as Picture
from playwright.sync_api import Browser, Page, sync_playwright

from segarena.report import viewer_answers_step, viewer_case_step, viewer_step
from segarena.report.command import server_of

HOSTILE = "<img src=x onerror=alert(1)>"
TEAMS = {"alpha": "alpha", "beta": HOSTILE}
CASES = ["a", "b"]


@pytest.fixture(scope="module")
def report(run_folder: Path) -> Path:
    """The report of the small run, with the viewer's files."""
    results = run_folder / "results"
    folder = results / "report" / "cvpr25"
    viewer = folder / "viewer"
    for case in CASES:
        prepared = results / "prepare" / case
        outputs = {name: viewer / "cases" / case / f"{name}.nii.gz" for name in ("image", "truth")}
        viewer_case_step.main(
            {"image": f"{prepared}.image.npz", "truth": f"{prepared}.truth.npz"},
            outputs | {"about": viewer / "cases" / case / "about.json"},
            labels={"4": {"name": HOSTILE, "colour": "#112233"}},
        )
    for team in TEAMS:
        viewer_answers_step.main(
            results,
            {kind: viewer / kind / team for kind in ("answers", "prompts")},
            protocol="cvpr25",
            submission=team,
            cases=CASES,
            interactions=6,
            keep_answers="all",
        )
    names, cases = {**TEAMS, "late": "late"}, CASES
    viewer_step.main(viewer, protocol="cvpr25", names=names, cases=cases, interactions=6)
    return folder


@pytest.fixture(scope="module")
def address(report: Path) -> Iterator[str]:
    with server_of(report, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    software = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", *software]
        )
        yield browser
        browser.close()


@pytest.fixture
def seen(browser: Browser) -> Iterator[tuple[Page, list[str], list[str]]]:
    """A page, what went wrong on it, and what it asked for."""
    page = browser.new_page(viewport={"width": 900, "height": 700})
    problems: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: requests.append(request.url))
    yield page, problems, requests
    page.close()


def wait_shown(page: Page, shown: str) -> None:
    page.wait_for_selector(f'body[data-shown="{shown}"]', timeout=60_000)


def canvas(page: Page) -> Picture.Image:
    return Picture.open(io.BytesIO(page.locator("canvas").screenshot())).convert("RGB")


def test_a_case_opens_and_its_interactions_move(seen, address: str) -> None:
    """The canvas shows something, another answer differs; no error, nothing from outside."""
    page, problems, requests = seen
    page.goto(f"{address}/viewer/index.html#case/alpha/a/1")
    wait_shown(page, "alpha/a/1")
    first = canvas(page)
    assert len(first.getcolors(1 << 20) or []) > 3
    page.locator("#k").fill("6")
    wait_shown(page, "alpha/a/6")
    assert canvas(page).tobytes() != first.tobytes()
    page.select_option("#case", "b")
    wait_shown(page, "alpha/b/6")
    page.select_option("#view", "4")
    page.wait_for_timeout(300)
    assert len(canvas(page).getcolors(1 << 20) or []) > 3
    assert problems == []
    assert [url for url in requests if not url.startswith((address, "data:", "blob:"))] == []
    assert page.locator("#back").get_attribute("href") == "../index.html#case/alpha/b/6"


def test_errors_have_their_colours(seen, address: str) -> None:
    """Where the answer of the first interaction is off, red and blue appear with the switch."""
    page, _, _ = seen
    page.goto(f"{address}/viewer/index.html#case/alpha/a/1")
    wait_shown(page, "alpha/a/1")
    for kind in ("truth", "answer", "prompts"):
        page.uncheck(f"#show-{kind}")
    for checked in (False, True):
        page.set_checked("#show-errors", checked)
        page.wait_for_timeout(300)
        colours = [rgb for _, rgb in canvas(page).getcolors(1 << 20)]
        assert any(red > blue + 60 for red, _, blue in colours) == checked
        assert any(blue > red + 60 for red, _, blue in colours) == checked


def test_names_are_text(seen, address: str) -> None:
    """Names of teams and labels that are markup stay text."""
    page, problems, _ = seen
    page.goto(f"{address}/viewer/index.html#case/beta/a/2")
    wait_shown(page, "beta/a/2")
    assert page.locator("#legend").inner_text().strip() == f"4 {HOSTILE}"
    assert page.locator("#team option").all_inner_texts() == [*TEAMS.values(), "late"]
    assert page.locator("img").count() == 0
    assert problems == []


def test_a_volume_that_is_not_there_is_reported(seen, address: str) -> None:
    """As in an archive, which has the page and none of the volumes."""
    page, _, _ = seen
    page.goto(f"{address}/viewer/index.html#case/late/a/1")
    page.wait_for_selector("#message:has-text('is not there')")


def test_from_disk_it_says_which_command_to_use(seen, report: Path) -> None:
    """A browser does not let it read files; no error, but what to do."""
    page, problems, _ = seen
    page.goto((report / "viewer" / "index.html").as_uri())
    page.wait_for_selector("#message:has-text('segarena view')")
    assert problems == []


def test_narrow_screen(browser: Browser, address: str) -> None:
    """At 400 pixels nothing is beside the screen."""
    page = browser.new_page(viewport={"width": 400, "height": 800})
    page.goto(f"{address}/viewer/index.html#case/beta/a/2")
    wait_shown(page, "beta/a/2")
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    page.close()


def test_the_licence_is_beside_the_library(report: Path) -> None:
    """NiiVue is handed on with its licence and version."""
    text = (report / "viewer" / "niivue-licence.txt").read_text()
    assert "BSD 2-Clause License" in text
    assert "NiiVue 0.69.0" in text
