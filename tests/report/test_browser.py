"""The report in a real browser, opened from disk."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

HOSTILE = "<img src=x onerror=alert(1)>"
GAMMA = "Gamma ${alert(3)} {{ 7 * 7 }}"


@dataclass
class Watched:
    """A page, and what it did that it should not."""

    page: Page
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        return self.page.locator("#board tbody th").all_inner_texts()

    def wait_shown(self, shown: str) -> None:
        self.page.wait_for_selector(f'#viewer[data-shown="{shown}"]')


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def report_page(browser: Browser, page_file: Path) -> Iterator[Watched]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    watched = Watched(page)
    page.on("console", lambda message: watched.problems.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: watched.problems.append(str(error)))
    page.on("dialog", lambda dialog: (watched.problems.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: watched.requests.append(request.url))
    page.goto(page_file.as_uri())
    yield watched
    page.close()


def scroll_through(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    y = 0
    while y < page.evaluate("document.documentElement.scrollHeight"):  # charts make it longer
        page.evaluate(f"scrollTo({{top: {y}, behavior: 'instant'}})")
        page.wait_for_timeout(40)
        y += 500
    page.wait_for_function("!document.querySelector('.chart > img')")


def test_leaderboard_comes_first(report_page: Watched) -> None:
    """The first screen shows the leaderboard, best first, and how certain the first place is."""
    assert report_page.names() == ["alpha", HOSTILE, GAMMA]
    box = report_page.page.locator("#board").bounding_box()
    assert box and box["y"] + box["height"] < 900
    assert (
        report_page.page.locator("#certain")
        .inner_text()
        .startswith("alpha is first in 100 % of 50")
    )


def test_sorting_by_mouse_and_keyboard(report_page: Watched) -> None:
    """A column's head sorts by it and turns the order on the second use, by keyboard too."""
    time = report_page.page.locator("#board th button", has_text="Time per case")
    time.click()
    assert report_page.names() == [GAMMA, HOSTILE, "alpha"]
    assert (
        report_page.page.locator("th[aria-sort=ascending] button").inner_text().startswith("Time")
    )
    time.press("Enter")
    assert report_page.names() == ["alpha", HOSTILE, GAMMA]
    assert report_page.page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"


def test_filtering_by_name(report_page: Watched) -> None:
    """Only submissions whose name holds the text stay."""
    report_page.page.fill("#search", "GAMMA")
    assert report_page.names() == [GAMMA]


def test_metric_changes_ranks(report_page: Watched) -> None:
    """By the running time, of which less is better, the last becomes the first."""
    report_page.page.select_option("#metric", "TotalRunningTime")
    assert report_page.names() == [GAMMA, HOSTILE, "alpha"]
    assert report_page.page.locator("#certain").inner_text().startswith(GAMMA)


def test_scheme_changes_the_score(report_page: Watched) -> None:
    """Mean, then rank: alpha's score by DSC_Final is its mean, 0.9 + 0.06 - 0.04."""
    report_page.page.select_option("#metric", "DSC_Final")
    report_page.page.select_option("#scheme", "mean_then_rank")
    assert report_page.page.locator("#score-head").inner_text() == "Mean DSC final"
    assert (
        report_page.page.locator("#board tbody tr").first.locator("td").nth(4).inner_text()
        == "0.920"
    )


def test_subgroup_changes_the_means(report_page: Watched) -> None:
    """On the two CT cases alpha's final DSC is the mean of 0.96 and 0.94."""
    report_page.page.select_option("#subgroup", "modality: CT")
    first = report_page.page.locator("#board tbody tr").first.locator("td").all_inner_texts()
    assert "0.950" in first
    assert "of the 2 cases" in report_page.page.locator("#certain").inner_text()


def test_worst_case_is_one_click_away(report_page: Watched) -> None:
    """A submission's worst case opens from its row: the last case, whose values are lowest."""
    report_page.page.locator("#board tbody tr").first.get_by_text("worst").click()
    report_page.wait_shown("alpha/e/6")
    assert report_page.page.locator("#viewer-title").inner_text() == "alpha on e"
    assert report_page.page.locator('[data-extreme="2"]').get_attribute("aria-pressed") == "true"
    sizes = report_page.page.locator("#planes img").evaluate_all(
        "images => Promise.all(images.map(i => i.decode().then(() => i.naturalWidth)))"
    )
    assert len(sizes) == 12
    assert min(sizes) > 0


def test_slider_shows_each_interaction(report_page: Watched) -> None:
    """The slider moves the answer's layer by one row an interaction and tells its numbers."""
    report_page.page.goto(f"{report_page.page.url}#case/alpha/a/6")
    report_page.wait_shown("alpha/a/6")
    moved = []
    for k in (2, 3):
        report_page.page.locator("#k").fill(str(k))
        report_page.wait_shown(f"alpha/a/{k}")
        assert (
            report_page.page.locator("#numbers")
            .inner_text()
            .startswith(f"DSC {0.9 + 0.01 * k:.3f}")
        )
        assert report_page.page.locator("#series tr.current th").inner_text() == str(k)
        layer = report_page.page.locator("img.answer").first
        height = layer.evaluate("image => image.getBoundingClientRect().height")
        top = layer.evaluate("image => image.offsetTop")
        moved.append(top / height)
    assert moved[0] - moved[1] == pytest.approx(1 / 6, abs=0.01)


def test_a_case_leads_to_the_viewer(report_page: Watched) -> None:
    """The link names what is shown, also after the slider has moved."""
    report_page.page.goto(f"{report_page.page.url}#case/alpha/a/6")
    report_page.wait_shown("alpha/a/6")
    report_page.page.locator("#k").fill("2")
    report_page.wait_shown("alpha/a/2")
    link = report_page.page.locator("#to-viewer").get_attribute("href")
    assert link == "viewer/index.html#case/alpha/a/2"


def test_a_second_submission_and_errors_are_shown_on_the_same_slices(report_page: Watched) -> None:
    """Beside it, both have three planes with their own layers; errors appear with the switch."""
    page = report_page.page
    page.goto(f"{page.url}#case/alpha/a/3")
    report_page.wait_shown("alpha/a/3")
    page.select_option("#other", "gamma")
    page.wait_for_selector('#planes img[src="answers/gamma/a.png"]')
    assert page.locator("#planes h4").all_inner_texts() == ["alpha", GAMMA]
    assert page.locator("#planes .plane").count() == 6
    errors = page.locator('#planes img[src="errors/gamma/a.png"]')
    assert not errors.first.is_visible()
    page.check("#show-errors")
    assert errors.count() == 3
    assert errors.first.is_visible()
    page.locator("#k").fill("4")
    report_page.wait_shown("alpha/a/4")
    tops = page.locator("#planes img.answer").evaluate_all(
        "images => images.map(one => (one.offsetTop / one.getBoundingClientRect().height))"
    )
    assert tops == pytest.approx([-3 / 6] * 6, abs=0.01)


def test_failure_tells_its_reason(report_page: Watched) -> None:
    """The failed call is in the table: case, team, interaction, message as text, log, picture."""
    row = report_page.page.locator("#failed tbody tr")
    row.wait_for()
    assert row.count() == 1
    assert row.locator("th, td").all_inner_texts() == [
        "c",
        HOSTILE,
        "2",
        "failed",
        "</script><script>alert(2)</script>",
        "results/predict/cvpr25/beta/c/2.log",
    ]
    row.get_by_role("link").click()
    report_page.wait_shown("beta/c/2")
    assert "alert(2)" in report_page.page.locator("#numbers").inner_text()


def test_an_interaction_that_was_not_asked_says_so(report_page: Watched) -> None:
    """Where no time was taken there was no call: no seconds in the line and in the table."""
    report_page.page.goto(f"{report_page.page.url}#case/alpha/d/6")
    report_page.wait_shown("alpha/d/6")
    assert report_page.page.locator("#numbers").inner_text().endswith(" · not asked")
    seconds = report_page.page.locator("#series tbody td:last-child").all_inner_texts()
    assert seconds == ["9.0"] * 5 + ["not asked"]


def test_who_is_left_out_stands_below_the_leaderboard(report_page: Watched) -> None:
    """With the reason as text; the leaderboard's own filters leave it alone."""
    report_page.page.fill("#search", "GAMMA")
    row = report_page.page.locator("#left-out tbody tr")
    assert row.all_inner_texts() == ["delta\tit does not accept clicks <segarena.yaml>"]
    assert row.is_visible()


def test_hostile_name_is_text(report_page: Watched) -> None:
    """A name that is markup stays text everywhere: no element, no script, no dialog."""
    report_page.page.goto(f"{report_page.page.url}#case/beta/c/2")
    report_page.wait_shown("beta/c/2")
    report_page.page.select_option("#metric", "NSD_AUC")
    scroll_through(report_page.page)
    assert report_page.page.locator("img[src=x]").count() == 0
    assert report_page.page.locator("#viewer-title").inner_text() == f"{HOSTILE} on c"
    assert report_page.page.locator(".chart svg").count() > 0
    assert [problem for problem in report_page.problems if not problem.startswith("warning")] == []


def test_nothing_leaves_the_folder(report_page: Watched, page_file: Path) -> None:
    """With every chart drawn and a case shown, only files of the folder have been asked for."""
    report_page.page.goto(f"{report_page.page.url}#case/gamma/b/1")
    report_page.wait_shown("gamma/b/1")
    scroll_through(report_page.page)
    folder = page_file.parent.as_uri()
    allowed = (folder, "data:", "blob:")
    assert [url for url in report_page.requests if not url.startswith(allowed)] == []
    assert len([url for url in report_page.requests if "/data/figure." in url]) == 8
    assert [problem for problem in report_page.problems if not problem.startswith("warning")] == []


def test_pictures_wait_until_they_are_looked_at(report_page: Watched) -> None:
    """The first screen asks for the page alone and what is near it, not for any case's picture."""
    report_page.page.wait_for_load_state()
    assert [url for url in report_page.requests if "/cases/" in url or "/answers/" in url] == []


def test_narrow_screen(browser: Browser, page_file: Path) -> None:
    """At 400 pixels the page itself does not scroll sideways; wide tables do so alone."""
    page = browser.new_page(viewport={"width": 400, "height": 800})
    page.goto(f"{page_file.as_uri()}#case/alpha/a/3")
    page.wait_for_selector('#viewer[data-shown="alpha/a/3"]')
    scroll_through(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    page.close()


def test_everything_has_a_name(report_page: Watched) -> None:
    """The page has a language, one main heading, and every control and picture has a name."""
    page = report_page.page
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("h1").count() == 1
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, input, select, img')].filter((one) =>
             !(one.labels && one.labels.length) && !one.textContent.trim() && !one.alt &&
             !one.getAttribute('aria-label')).map((one) => one.outerHTML)"""
    )
    assert nameless == []


@pytest.mark.parametrize("width", [1280, 400])
def test_the_first_screen_answers_each_question(
    browser: Browser, page_file: Path, width: int
) -> None:
    """Who leads, can it be trusted, where does it fail, what does it look like: all in sight."""
    height = {1280: 900, 400: 800}[width]
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(page_file.as_uri())
    expected = {
        "who": "alpha is first in 100 % of 50",
        "trust": "89 of 90 answers are usable",
        "where": f"Failed on 1 case of {HOSTILE}",
        "looks": "alpha: best case, median case, worst case",
        "provenance": "SegArena",
    }
    for name, text in expected.items():
        element = page.locator(f"#{name}")
        assert text in " ".join(element.inner_text().split())
        box = element.bounding_box()
        assert box and box["y"] + box["height"] <= height and box["x"] + box["width"] <= width
    page.close()


def test_every_case_is_a_cell_that_opens_it(report_page: Watched) -> None:
    """A row per case, hardest first; the cell of a failed case is marked, and a click opens it."""
    page = report_page.page
    page.wait_for_selector("#heat td.failing")
    assert page.locator("#heat tbody th").all_inner_texts() == list("edcba")
    first = page.locator("#heat tbody tr").first.locator("td").all_inner_texts()
    assert first == ["0.880", "0.680", "0.480"]
    failing = page.locator("#heat td.failing a")
    assert failing.count() == 1
    assert failing.get_attribute("aria-label") == f"{HOSTILE} on c: DSC 0.720, failed"
    failing.click()
    report_page.wait_shown("beta/c/6")


def test_filters_reach_every_table_and_figure(report_page: Watched) -> None:
    """With two CT cases chosen the tables have two cases, and the curves say n = 2."""
    page = report_page.page
    scroll_through(page)
    page.select_option("#subgroup", "modality: CT")
    assert page.locator("#heat tbody th").all_inner_texts() == ["b", "a"]
    assert page.locator("#failed tbody tr").count() == 0
    notes = "#figure-quality_by_interaction .chart svg"
    page.wait_for_function(f"document.querySelector('{notes}').textContent.includes('n = 2')")
    assert "n = 5" not in page.locator(notes).text_content()
    dots = "#figure-dot_and_box .chart svg .mark-symbol path"
    page.wait_for_function(f"document.querySelectorAll('{dots}').length === 30")
    page.select_option("#metric", "DSC_AUC")
    page.wait_for_function(f"document.querySelectorAll('{dots}').length === 6")
    page.fill("#search", "gamma")
    page.wait_for_function(f"document.querySelectorAll('{dots}').length === 2")
    assert page.locator("#heat thead th").all_inner_texts() == ["Case", GAMMA]
    assert [problem for problem in report_page.problems if not problem.startswith("warning")] == []


def test_what_goes_on_beyond_the_edge_says_so(browser: Browser, page_file: Path) -> None:
    """At 400 pixels each table that is cut has a hint below it, and each legend is in sight."""
    page = browser.new_page(viewport={"width": 400, "height": 800})
    page.goto(page_file.as_uri())
    scroll_through(page)
    silent = page.evaluate(
        """[...document.querySelectorAll('.scroll')].filter((one) => one.offsetParent &&
             one.scrollWidth > one.clientWidth + 1 &&
             !(one.nextElementSibling || {classList: []}).classList.contains('sideways')).length"""
    )
    assert silent == 0
    legends = page.locator(".chart svg .role-legend")
    assert legends.count() > 0
    for one in legends.all():
        box = one.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 400
    page.close()


@pytest.mark.parametrize("width", [1280, 400])
def test_no_serious_finding_of_axe(browser: Browser, page_file: Path, width: int) -> None:
    """axe-core finds nothing serious on the page with every figure and a case shown."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="make .venv/installed-dev"
    )
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(f"{page_file.as_uri()}#case/beta/c/2")
    page.wait_for_selector('#viewer[data-shown="beta/c/2"]')
    scroll_through(page)
    found = axe.Axe().run(page).response["violations"]
    serious = [one for one in found if one["impact"] in {"serious", "critical"}]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in serious] == []
    page.close()
