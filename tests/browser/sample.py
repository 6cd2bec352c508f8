"""A bundle of 25 cells on disk as a run leaves it: even, pinned, repeated, failed, invalid, broken and never run."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import report_factory as made
from grpc_lb_lab.judge.build import build_report
from grpc_lb_lab.model.files import write_text
from grpc_lb_lab.model.inventory import Event
from grpc_lb_lab.model.result import Bucket
from grpc_lb_lab.views.artifacts import write_report

if TYPE_CHECKING:
    from pathlib import Path

    from grpc_lb_lab.judge.document import Report

FAILED, INVALID, BROKEN, NOT_RUN = "headless-uneven", "envoy-bypassed", "gateway-broken", "istio"


def write_sample(run: Path) -> Path:
    """Write the cells below ``run``; the pages are left to ``lb-lab summary``."""
    for name, report in cells().items():
        write_report(_named(report, name), run / name / "steady", page=False)
        write_text(run / name / "steady" / "logs" / "client-0.log", "a line\n")
    for number, speed in enumerate((0.42, 0.5, 0.61), 1):
        write_report(_named(_paced(speed), "headless"), run / "headless" / "steady" / f"repeat-{number}", page=False)
    write_text(run / BROKEN / "steady" / "logs" / "gateway.log", "cannot listen\n")
    write_text(run / BROKEN / "steady" / "cell.json", '{"wall_s": 1.5, "error": "The gateway did not start: port 80."}')
    wanted = [f"{name}/steady" for name in (*cells(), "headless", BROKEN, NOT_RUN)]
    write_text(run / "bundle.json", json.dumps({"cells": wanted}))
    return run


def cells() -> dict[str, Report]:
    """Strategy to report, for those that ran once."""
    some = {
        "baseline": made.service([1000]),
        "service": made.service([0, 0, 1000, 0, 0]),
        "service-60": made.service([0] * 59 + [1000]),
        "envoy": made.through_envoy([200] * 5),
        "envoy-60": many(),
        "envoy-busy": _longer(made.through_envoy([200] * 5, cpu_s=0.49)),
        "envoy-least-request": made.headless([210, 190, 205, 195, 200], precision="chance", concurrency=4),
        FAILED: made.headless([800, 50, 50, 50, 50]),
        INVALID: made.through_envoy([200] * 5, via=""),
        "headless-errors": build_report(
            made.plan(requests=1000), made.inventory(), [made.client([[199] * 5], failed={"UNAVAILABLE": 5})]
        ),
    }
    return some | {f"strategy-{index}": _paced(0.4 + 0.1 * index) for index in range(12)}


def _paced(seconds: float) -> Report:
    one = made.client([[200] * 5], finished_at=made.START + seconds)
    return build_report(made.plan(requests=1000), made.inventory(), [one])


def many() -> Report:
    """60 replicas over 40 seconds, with events."""
    counts = [100 + index % 3 for index in range(60)]
    first = int(made.START / 0.1)
    timeline = [
        Bucket(first + step * 4, sum(part.values()), 0, part)
        for step in range(100)
        for part in [{made.uid(i): calls // 100 + (step < calls % 100) for i, calls in enumerate(counts)}]
    ]
    one = made.client(
        [counts], remotes=["ipv4:127.77.2.1:15001"], via="1.1 envoy-client", policy="pick_first",
        proxies=[made.envoy(sum(counts), 60)], timeline=timeline, finished_at=made.START + 39.9,
    )  # fmt: skip
    asked = made.plan(
        hops=("envoy-client",), policy="pick_first", target="sidecar", requests=one.requests, replicas=60,
        precision="chance",
    )  # fmt: skip
    known = made.inventory(
        60, events=[Event(made.START + 12.3, "kill", "echo-7"), Event(made.START + 20, "start", "echo-60")]
    )
    return build_report(asked, known, [one])


def _longer(report: Report) -> Report:
    """With the longest way that a strategy has."""
    hops = ["client", "envoy-client", "envoy-server", "server"]
    return dataclasses.replace(report, path=dataclasses.replace(report.path, hops=hops))


def _named(report: Report, name: str) -> Report:
    return dataclasses.replace(
        report,
        run=dataclasses.replace(report.run, strategy=name),
        strategy=dataclasses.replace(report.strategy, title=f"Title of {name}"),
    )
