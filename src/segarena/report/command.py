"""`segarena view`: serve reports to a browser of this machine, which the viewer needs to load data.

A browser lets a page on disk read no other file. The server listens on loopback alone, answers
only those who ask for it by that name (no other site can have the browser ask for it), lists no
folders and changes nothing.
"""

import argparse
import http.server
import webbrowser
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from segarena.errors import ConfigError

LOOPBACK = "127.0.0.1"
PAGE = "index.html"


def add_parser(subparsers: Any) -> None:
    """Add `view` to the sub-commands of `segarena`."""
    parser = subparsers.add_parser(
        "view",
        description="Show the reports of a run, with the viewer, in a browser of this machine. "
        "The folder is a run's, its results or one report. Ctrl-C ends it.",
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path(), metavar="FOLDER")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; any free one if 0")
    parser.add_argument("--no-browser", action="store_true", help="print the address, open nothing")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run `segarena view` until it is stopped; raises ConfigError where there is no report."""
    root, pages = reports(arguments.folder)
    try:
        server = server_of(root, arguments.port)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"--port {arguments.port}: cannot be used ({error})") from error
    with server:
        addresses = [f"http://{LOOPBACK}:{server.server_port}/{page}" for page in pages]
        print("\n".join(addresses), flush=True)
        if not arguments.no_browser:
            webbrowser.open(addresses[0])
        server.serve_forever()
    return 0


def reports(folder: Path) -> tuple[Path, list[str]]:
    """Return the folder to serve, and the reports in it as paths from there.

    folder: a report, results/report, results, or the folder of a run.
    """
    if (folder / PAGE).is_file():
        return folder, [PAGE]
    for root in (folder, folder / "report", folder / "results" / "report"):
        pages = sorted(path.relative_to(root).as_posix() for path in root.glob(f"*/{PAGE}"))
        if pages:
            return root, pages
    raise ConfigError(f"{folder}: no report in it: give a run's folder, its results, or a report")


def server_of(folder: Path, port: int) -> http.server.ThreadingHTTPServer:
    """Return a server of the files under a folder, which listens on loopback."""
    handler = partial(_Handler, directory=str(folder))
    return http.server.ThreadingHTTPServer((LOOPBACK, port), handler)


class _Handler(http.server.SimpleHTTPRequestHandler):
    def send_head(self) -> Any:
        assert isinstance(self.server, http.server.HTTPServer)
        port = self.server.server_port
        if self.headers.get("Host") not in {f"{LOOPBACK}:{port}", f"localhost:{port}"}:
            self.send_error(HTTPStatus.FORBIDDEN, "ask for it by its address")
            return None
        return super().send_head()

    def list_directory(self, path: Any) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # a run may make the files again
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass
