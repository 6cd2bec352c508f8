"""What is told of a load while it runs: few lines, ever more calls, and the true total last."""

from __future__ import annotations

from grpc_lb_lab.model.plan import Load
from grpc_lb_lab.run.telling import Telling


def told(asked: Load, seen: list[tuple[float, int]], end: int) -> list[str]:
    lines: list[str] = []
    now = 0.0
    telling = Telling(asked, lines.append, lambda: now)
    for at, done in seen:
        now = at
        telling.see(done)
    telling.end(end)
    return lines


def test_forty_clients_that_tell_one_after_the_other_make_few_lines_and_the_total_is_what_was_asked_for() -> None:
    """Each of 40 clients told twice: 80 lines once, of totals that grew with the clients that had told."""
    seen = [(1.0 + number / 20, number * 10) for number in range(1, 81)]
    assert told(Load(requests=1000, clients=40), seen, 1000) == [
        "10 of 1,000 calls",
        "410 of 1,000 calls",
        "1,000 of 1,000 calls",
    ]


def test_what_comes_late_makes_no_number_smaller() -> None:
    assert told(Load(requests=90), [(0, 40), (3, 30), (6, 80)], 90) == [f"{done} of 90 calls" for done in (40, 80, 90)]


def test_a_duration_is_told_too_and_an_hour_takes_few_lines() -> None:
    lines = told(Load(requests=None, duration_s=3600), [(second, second * 10) for second in range(1, 3600)], 36_000)
    assert lines[:2] == ["10 calls, 0 of 3600 s", "30 calls, 2 of 3600 s"]
    assert lines[-1] == "36,000 calls, 3600 of 3600 s"
    assert len(lines) < 90


def test_the_last_line_is_told_once() -> None:
    assert told(Load(requests=10), [(0, 10)], 10) == ["10 of 10 calls"]
