"""`segarena view`: which folder is served, and to whom."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from segarena.cli import main
from segarena.errors import ConfigError
from segarena.report.command import reports, server_of


@pytest.fixture
def run_with_reports(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        page = tmp_path / "results" / "report" / name / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text(f"report {name}")
    return tmp_path


@pytest.fixture
def address(run_with_reports: Path) -> Iterator[str]:
    with server_of(run_with_reports / "results" / "report", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert server.server_address[0] == "127.0.0.1"
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("folder", [".", "results", "results/report"])
def test_reports_are_found_from_a_run_its_results_and_their_folder(
    run_with_reports: Path, folder: str
) -> None:
    """All of a run's reports are served, from whichever of its folders is given."""
    root, pages = reports(run_with_reports / folder)
    assert pages == ["a/index.html", "b/index.html"]
    assert (root / pages[0]).read_text() == "report a"


def test_a_single_report_is_found(run_with_reports: Path) -> None:
    """A copied report needs no run around it."""
    folder = run_with_reports / "results" / "report" / "b"
    assert reports(folder) == (folder, ["index.html"])


def test_a_folder_without_a_report_is_an_error(tmp_path: Path, capsys) -> None:
    """One line with what to give instead, and exit code 2."""
    with pytest.raises(ConfigError, match="no report in it"):
        reports(tmp_path)
    assert main(["view", str(tmp_path), "--no-browser"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_port_that_cannot_be_used_is_an_error(run_with_reports: Path, capsys) -> None:
    """No number beyond what a port can be is tried, and there is no traceback."""
    assert main(["view", str(run_with_reports), "--no-browser", "--port", "70000"]) == 2
    assert "--port 70000" in capsys.readouterr().err


def test_files_are_served_and_not_cached(address: str) -> None:
    """A report that is made again is seen at once."""
    with urllib.request.urlopen(f"{address}/a/index.html") as answer:
        assert answer.read() == b"report a"
        assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("path", ["/", "/..%2f..%2f", "/a/../../../"])
def test_no_folder_is_listed_and_none_outside_is_reached(address: str, path: str) -> None:
    """A folder without a page is not there, and neither is what is above the reports."""
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{address}{path}")


def test_another_host_name_is_refused(address: str) -> None:
    """A page elsewhere whose name is pointed to this machine reads nothing."""
    request = urllib.request.Request(f"{address}/a/index.html", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)
