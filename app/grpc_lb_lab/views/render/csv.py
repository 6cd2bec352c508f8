"""``report.csv``: a line a replica, for spreadsheets."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grpc_lb_lab.judge.document import Report

HEADER = [
    "run", "strategy", "scenario", "cluster", "pod", "uid", "ip", "requests", "share",
    "first_seen_s", "last_seen_s", "expected_per_server", "expected", "observed", "status",
]  # fmt: skip


def render_csv(report: Report) -> str:
    """All replicas, also those with 0 requests; the run's own columns repeat, so that files can be joined."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    run, verdict = report.run, report.verdict
    for backend in report.backends:
        seen = ["" if at is None else at for at in (backend.first_seen_s, backend.last_seen_s)]
        row = [
            run.id, run.strategy, run.scenario, run.cluster, backend.pod, backend.uid, backend.ip, backend.requests,
            backend.share, *seen, report.distribution.expected_per_server, verdict.expected, verdict.observed,
            verdict.status,
        ]  # fmt: skip
        writer.writerow([_harmless(cell) for cell in row])
    return out.getvalue()


def _harmless(cell: object) -> object:
    """A name that a server chose must not become a spreadsheet's formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
