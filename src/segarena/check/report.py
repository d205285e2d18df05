"""What a check says: the verdict first, then why, then each call and each finding."""

import io
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segarena.check.judge import FAILED, NOT_JUDGED, PASSED, WARNING, Finding, time_of
from segarena.check.sessions import Call, replay_command, short_path
from segarena.files import write_json
from segarena.predict.runners import GIB
from segarena.predict.runners.watch import readable
from segarena.protocol import Protocol
from segarena.score.metrics import column

_WIDEST_DETAIL = 600


@dataclass
class Report:
    """Everything that a check found out.

    given: the cases that are the participant's or the challenge's; their scores are those that the
    workflow would give. stopped: whether calls were left out after the first that failed.
    """

    submission: str
    protocol: Protocol
    folder: Path
    image: dict[str, Any] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    stopped: bool = False

    @property
    def verdict(self) -> str:
        """PASS, PASS WITH n WARNINGS, NOT JUDGED or FAIL."""
        levels = Counter(finding.level for finding in self.findings)
        if levels[FAILED] or not self.calls:
            return "FAIL"
        if any(call["status"] != "ok" for call in self._asked):
            return "NOT JUDGED"
        warnings = levels[WARNING]
        return f"PASS WITH {warnings} WARNING{'S' * (warnings > 1)}" if warnings else "PASS"

    @property
    def passed(self) -> bool:
        """Whether the submission would run in the challenge."""
        return self.verdict.startswith("PASS")

    @property
    def _asked(self) -> list[Call]:
        return [call for call in self.calls if call["status"] != "not_asked"]

    @property
    def metrics(self) -> list[str]:
        """The names of the protocol's first two metrics."""
        return [column(metric) for metric in self.protocol["metrics"]][:2]

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        name = self.protocol["name"]
        if self.verdict == "FAIL":
            first = next(
                (f for f in self.findings if f.level == FAILED and f.what != "answers"), None
            )
            why = f": {first.what}" if first else ""
            return f"{self.verdict}  {self.submission} would not run under {name}{why}"
        if self.verdict == "NOT JUDGED":
            return f"{self.verdict}  {self.submission} may or may not run under {name}"
        return f"{self.verdict}  {self.submission} would run under {name}{self._means()}"

    def _means(self) -> str:
        """Return the mean scores after the last interaction, of the given cases if there are."""
        last = {call["case"]: call for call in self.calls}
        chosen = [call for case, call in last.items() if case in self.given] or [*last.values()]
        shown = []
        for metric in self.metrics:
            values = [call["scores"].get(metric) for call in chosen]
            known = [value for value in values if value is not None]
            if known:
                shown.append(f"{metric} {sum(known) / len(known):.3f}")
        kind = "" if self.given else "bundled "
        plural = "s" * (len(chosen) != 1)
        return (
            f" ({', '.join(shown)} at the end of {len(chosen)} {kind}case{plural})" if shown else ""
        )

    @property
    def shown_call(self) -> Call | None:
        """The first call that failed, else the last one that was made."""
        failed = (call for call in self._asked if call["status"] != "ok")
        return next(failed, self._asked[-1] if self._asked else None)

    def as_json(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        shown = self.shown_call
        return {
            "passed": self.passed,
            "verdict": self.verdict,
            "submission": self.submission,
            "protocol": self.protocol["name"],
            "image": self.image,
            "findings": [vars(finding) for finding in self.findings],
            "calls": self.calls,
            "folder": str(self.folder),
            "by_hand": replay_command(shown) if shown else "",
        }

    def write(self) -> None:
        """Write report.json into the check's folder."""
        write_json(self.folder / "report.json", self.as_json())

    def as_text(self) -> str:
        """Return what is printed."""
        text = io.StringIO()
        text.write(f"{self.headline}\n\n")
        order = {FAILED: 0, WARNING: 1, NOT_JUDGED: 2}
        for finding in sorted(
            (f for f in self.findings if f.level != PASSED), key=lambda f: order[f.level]
        ):
            text.write(_lines_of(finding))
        if self.calls:
            text.write(f"\n{self._table()}\n")
        text.write("\n")
        for finding in self.findings:
            if finding.level == PASSED:
                text.write(_lines_of(finding))
        if self.stopped:
            text.write("\nStopped at the first call that failed; --all goes on to the end.\n")
        shown = self.shown_call
        if shown:
            place = f"{shown['case']}, interaction {shown['interaction']}"
            text.write(f"\nRun a call again ({place}):  {replay_command(shown)}\n")
            text.write(f"All calls with input, answer and log:  {short_path(self.folder)}\n")
            page = short_path(self.folder / "index.html")
            text.write(f"Pictures of the answers:  {page}\n")
        return text.getvalue()

    def rows(self) -> list[list[str]]:
        """Return the table of calls: a header, then one row per call."""
        limit = int(self.protocol["limits"]["memory_gb"] * GIB)
        rows = [
            ["case", "interaction", "status", *self.metrics, "seconds", "of the limit", "memory"]
        ]
        for call in self.calls:
            used, allowed = time_of(call, self.protocol)
            scores = [call["scores"].get(name) for name in self.metrics]
            peak, made = call["peak_memory_bytes"], call["status"] != "not_asked"
            used_text = f"{used:.1f} of {allowed:g}" if made else ""
            rows.append(
                [
                    call["case"],
                    f"{call['interaction']} {call['prompt']}",
                    call["status"],
                    *("" if score is None else f"{score:.3f}" for score in scores),
                    f"{call['seconds']:.2f}" if made else "",
                    used_text,
                    f"{readable(peak)} of {readable(limit)}" if peak is not None else "",
                ]
            )
        return rows

    def _table(self) -> str:
        rows = self.rows()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        first_number = 3
        lines = (
            "  ".join(
                cell.rjust(width) if i >= first_number else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )
        return "\n".join(lines)


def _lines_of(finding: Finding) -> str:
    detail = finding.detail
    if len(detail) > _WIDEST_DETAIL:
        detail = f"{detail[:_WIDEST_DETAIL]}…"
    lines = [f"{finding.level}  {finding.what}: {detail}"]
    lines += [f"        cure: {finding.cure}"] * bool(finding.cure)
    if finding.log:
        lines += [
            "        the last lines of its log:",
            *(f"          {line}" for line in finding.log),
        ]
    return "".join(f"{line}\n" for line in lines)


def printed_json(report: Report) -> str:
    """Return the report as JSON text."""
    return json.dumps(report.as_json(), indent=1)
