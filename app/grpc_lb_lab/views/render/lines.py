"""The figures of a report as short labelled lines, shared by the terminal, Markdown and HTML views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_lb_lab.judge.scenario.repeats import missed
from grpc_lb_lab.judge.text import count, figure, listing, microseconds, milliseconds, number, seconds, verdict_words
from grpc_lb_lab.judge.verdict import RATE_TOLERANCE
from grpc_lb_lab.views.render.scenario import errors_line as scenario_errors_line

if TYPE_CHECKING:
    from grpc_lb_lab.judge.document import Report


def calls_line(report: Report) -> str:
    """``1,000 ok, 0 failed in 0.43 s (2,345 calls/s)``."""
    actual = report.actual
    rate = f"{number(round(actual.rps))} calls/s"
    return f"{number(actual.ok)} ok, {number(actual.failed)} failed in {actual.duration_s:.2f} s ({rate})"


def spread_line(report: Report) -> str:
    """Servers hit, expected per server, variance."""
    figures = report.distribution
    return (
        f"servers hit {figures.servers_hit} of {figures.replicas}, "
        f"expected per server {number(round(figures.expected_per_server, 1))}, variance {figure(figures.variance)}"
    )


def fairness_line(report: Report) -> str:
    """Standard deviation, coefficient of variation, Jain's index, chi-square p."""
    figures = report.distribution
    return (
        f"stddev {figure(figures.stddev)}, cv {figure(figures.cv)}, "
        f"Jain {figure(figures.jain, 3)}, chi-square p {figure(figures.chi_square_p)}"
    )


def errors_line(report: Report) -> str:
    """``none`` or the codes with their counts, most frequent first; in a scenario also for how long."""
    if report.course:
        return scenario_errors_line(report.course)
    codes = sorted(report.errors.items(), key=lambda item: (-item[1], item[0]))
    return listing([f"{code} {number(calls)}" for code, calls in codes], 5) or "none"


def latency_line(report: Report) -> str:
    """p50 to max."""
    times = report.latency_ms
    return (
        f"p50 {milliseconds(times.p50)}, p90 {milliseconds(times.p90)}, p99 {milliseconds(times.p99)}, "
        f"max {milliseconds(times.max)}"
    )


def rate_line(report: Report) -> str:
    """That the client began its calls later than it was asked to; empty where it kept the rate, or had none to keep.

    Both must show it: the load took longer than asked for, and calls began that late. Slow answers alone do the first,
    a pause that was caught up alone does the second.
    """
    asked, actual, late_ms = report.requested, report.actual, report.lag_ms.max or 0.0
    if not asked.rate_rps or not asked.duration_s or not actual.duration_s:
        return ""
    reached = actual.requests / actual.duration_s
    kept = reached >= asked.rate_rps * (1 - RATE_TOLERANCE)
    if kept or late_ms / 1000 < asked.duration_s * RATE_TOLERANCE:
        return ""
    return (
        f"asked {number(asked.rate_rps)} calls/s, reached {number(round(reached))}: the client could not keep the rate "
        f"and began calls up to {seconds(late_ms / 1000)} late. Latency counts from when a call was due, "
        "so it includes this wait"
    )


def path_line(report: Report, arrow: str = "→") -> str:
    """The hops that were observed."""
    return f" {arrow} ".join(report.path.hops) + (" (proven)" if report.path.proven else " (not proven)")


def connections_line(report: Report) -> str:
    """Connections of the client, upstream and at the servers."""
    connections = report.connections
    upstream = "" if connections.upstream is None else f", {number(connections.upstream)} upstream of the proxy"
    return f"{number(connections.client)} of the client{upstream}, {number(connections.server)} at the servers"


def cpu_line(report: Report) -> str:
    """CPU time a call cost: client, proxies, servers; ``–`` where nobody measured it."""
    cpu = report.cpu
    passed = report.reconciliation.proxy_requests is not None or cpu.proxies_us_per_call is not None
    proxies = f", proxies {microseconds(cpu.proxies_us_per_call)}" if passed else ""
    return f"client {microseconds(cpu.client_us_per_call)}{proxies}, servers {microseconds(cpu.servers_us_per_call)}"


def verdict_line(report: Report) -> str:
    """``PASS: even, as expected`` and its like."""
    verdict, course = report.verdict, report.course
    if course is None:
        return verdict_words(verdict.status, verdict.expected, verdict.observed)
    names = {"share": "shares", "errors": "errors"}
    also = missed([names[check.what] for check in course.checks if not check.met and check.what in names])
    return verdict_words(verdict.status, verdict.expected, verdict.observed, also)


def load_line(report: Report) -> str:
    """What was asked for."""
    load = report.requested
    amount = count(load.requests, "call") if load.requests is not None else f"{load.duration_s or 0:g} s of calls"
    rate = f"{number(load.rate_rps)} calls/s, open loop" if load.rate_rps else "closed loop"
    each = " each" if load.clients > 1 else ""
    return (
        f"{amount}, {rate}, {count(load.clients, 'client')}, {count(load.connections, 'connection')}{each}, "
        f"{number(load.concurrency)} at a time, {count(load.replicas, 'replica')}, seed {report.run.seed}"
    )
