"""One cell of a run, as the summary shows it, read from its reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.judge.document import Range
from grpc_lb_lab.judge.scenario.repeats import ScenarioRanges, missed_words, scenario_ranges
from grpc_lb_lab.judge.text import count, listing, number, verdict_words
from grpc_lb_lab.model.errors import LabError
from grpc_lb_lab.model.verdict import GOOD, Status, worst
from grpc_lb_lab.views.repeats import chosen, ranges

if TYPE_CHECKING:
    from grpc_lb_lab.views.bundle import CellFiles

BROKEN = "The run broke before there was a report; see its logs."
NOT_RUN = "This cell was asked for and did not run: the run was stopped before it."


@dataclass(frozen=True)
class Cell:
    """One strategy in one scenario. ``report``: its page, relative to the run; empty when the cell broke.

    Figures are those of the one run or, after repeats, medians; ``figures`` has minimum, median and maximum.
    ``overhead`` is the loss of calls a second against the cell ``baseline`` of the same scenario under the same load
    (0.2: a fifth fewer), None without one. ``counts``: calls by replica in the report's order. ``…_us``: CPU
    microseconds a call. ``wall_s``: what the cell took in all, else the seconds of its load.
    ``course``: the two figures of a scenario over the repeats, None in ``steady``.
    """

    strategy: str
    scenario: str
    title: str
    advice: str
    status: Status
    expected: str
    observed: str
    balanced: bool
    verdict_line: str
    cause: str
    counts: list[int]
    servers_hit: int
    replicas: int
    requests: int
    failed: int
    rps: float
    overhead: float | None
    p50_ms: float | None
    p99_ms: float | None
    connections: int
    path: list[str]
    report: str
    repeats: int = 1
    passed: int = 0
    figures: dict[str, Range] = field(default_factory=dict)
    client_us: float | None = None
    proxies_us: float | None = None
    servers_us: float | None = None
    saturated: str = ""
    load: str = ""
    cluster: str = ""
    wall_s: float | None = None
    course: ScenarioRanges | None = None

    @property
    def place(self) -> str:
        """``STRATEGY/SCENARIO``."""
        return f"{self.strategy}/{self.scenario}"

    def median(self, figure: str) -> float | None:
        """The median of a figure; None where no run has it."""
        return self.figures[figure].median if figure in self.figures else None

    @property
    def proxied(self) -> bool:
        """Whether a process of its own stood between client and servers; a Service is the kernel's on a cluster."""
        return any(hop not in ("client", "service", "server") for hop in self.path)


def make_cell(files: CellFiles, baseline: Cell | None = None) -> Cell:
    """The cell of ``files``. Raises ``LabError`` for a report that lacks a key."""
    try:
        return _finished(files, baseline) if _known(files) else _broken(files)
    except (KeyError, TypeError) as error:
        raise LabError(f"{files.place}/report.json lacks the key {error}") from error


def _known(files: CellFiles) -> list[dict[str, Any]]:
    return [report for report in files.reports.values() if report is not None]


def _finished(files: CellFiles, baseline: Cell | None) -> Cell:
    strategy, scenario = files.place.split("/")
    shown, known = chosen(files.reports), _known(files)
    data: dict[str, Any] = files.reports[shown] or {}
    verdict, figures = data["verdict"], ranges(known)
    statuses: list[Status] = [report["verdict"]["status"] for report in known]
    lost = [number for number, report in files.reports.items() if report is None]
    status = worst([*statuses, "invalid"] if lost else statuses)
    load, rps = load_words(data["requested"]), figures["rps"].median
    comparable = baseline is not None and baseline.rps > 0 and baseline.load == load and strategy != "baseline"
    return Cell(
        strategy=strategy,
        scenario=scenario,
        title=data.get("strategy", {}).get("title", ""),
        advice=data.get("strategy", {}).get("advice", ""),
        status=status,
        expected=verdict["expected"],
        observed=verdict["observed"],
        balanced=verdict["balanced"],
        verdict_line=verdict_words(status, verdict["expected"], verdict["observed"], missed_words(data)),
        cause=_cause(files, verdict, shown, lost, statuses),
        counts=[backend["requests"] for backend in data["backends"]],
        servers_hit=data["distribution"]["servers_hit"],
        replicas=data["distribution"]["replicas"],
        requests=data["actual"]["requests"],
        failed=max(report["actual"]["failed"] for report in known),
        rps=rps,
        overhead=round(1 - rps / baseline.rps, 4) if comparable and baseline else None,
        p50_ms=_median(figures, "p50_ms"),
        p99_ms=_median(figures, "p99_ms"),
        connections=data["connections"]["client"],
        path=data["path"]["hops"],
        report=f"{strategy}/{scenario}/report.html",
        repeats=len(files.reports),
        passed=statuses.count("pass"),
        figures=figures,
        client_us=_median(figures, "client_us"),
        proxies_us=_median(figures, "proxies_us"),
        servers_us=_median(figures, "servers_us"),
        saturated=next((words for words in (one.get("cpu", {}).get("saturated") for one in known) if words), ""),
        load=load,
        cluster=data["run"]["cluster"],
        wall_s=files.wall_s
        if files.wall_s is not None
        else round(sum(one["actual"]["duration_s"] for one in known), 3),
        course=scenario_ranges(known),
    )


def _median(figures: dict[str, Range], name: str) -> float | None:
    return figures[name].median if name in figures else None


def _cause(files: CellFiles, verdict: dict[str, Any], shown: int, lost: list[int], statuses: list[Status]) -> str:
    """The cause of the repeat that is shown; with repeats, which of them it is and how many say the same."""
    cause, repeats = str(verdict["cause"]), len(files.reports)
    if lost and verdict["status"] in GOOD:
        names = listing([str(number) for number in lost])
        return f"{len(lost)} of {count(repeats, 'repeat')} left no report (number {names}). {files.error or BROKEN}"
    if repeats == 1 or verdict["status"] in GOOD:
        return cause
    same = statuses.count(verdict["status"])
    return f"{number(same)} of {count(repeats, 'repeat')} {_WORDS[verdict['status']]}, such as repeat {shown}: {cause}"


_WORDS = {"fail": "failed", "invalid": "were invalid"}


def load_words(requested: dict[str, Any]) -> str:
    """The load that cells must share to be compared; replicas are the strategy's own affair (``baseline`` has one)."""
    calls, rate = requested["requests"], requested["rate_rps"]
    amount = count(calls, "call") if calls is not None else f"{requested['duration_s'] or 0:g} s of calls"
    pace = f"{number(rate)} calls/s, open loop" if rate else "closed loop"
    clients, connections = requested["clients"], requested["connections"]
    each = " each" if clients > 1 else ""
    return (
        f"{amount}, {pace}, {count(clients, 'client')}, {count(connections, 'connection')}{each}, "
        f"{number(requested['concurrency'])} at a time"
    )


def _broken(files: CellFiles) -> Cell:
    strategy, scenario = files.place.split("/")
    return Cell(
        strategy=strategy,
        scenario=scenario,
        title="",
        advice="",
        status="invalid",
        expected="",
        observed="",
        balanced=False,
        verdict_line="INVALID: no report" if files.ran else "INVALID: did not run",
        cause=files.error or (BROKEN if files.ran else NOT_RUN),
        counts=[],
        servers_hit=0,
        replicas=0,
        requests=0,
        failed=0,
        rps=0.0,
        overhead=None,
        p50_ms=None,
        p99_ms=None,
        connections=0,
        path=[],
        report="",
        repeats=max(1, len(files.reports)),
        wall_s=files.wall_s,
    )
