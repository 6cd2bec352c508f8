"""When calls start: no sleep, the clock is the test's."""

from __future__ import annotations

import itertools

import pytest
from grpc_lb_lab.load.pacing import Pace, closed_loop, open_loop, pace_of, share
from grpc_lb_lab.model.plan import Load


@pytest.mark.parametrize(("total", "clients"), [(1000, 1), (701, 3), (2, 5), (1000, 7)])
def test_shares_add_up_and_the_first_get_one_more(total, clients):
    shares = [share(total, clients, index) for index in range(clients)]
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1
    assert shares == sorted(shares, reverse=True)


def never():
    return False


def test_closed_loop_by_count():
    assert list(closed_loop(Pace(5, None), lambda: 0.0, never)) == [0, 1, 2, 3, 4]
    assert list(closed_loop(Pace(0, None), lambda: 0.0, never)) == []


def test_closed_loop_by_duration():
    now = itertools.count(100.0, 0.25)  # each look at the clock is a quarter of a second later
    assert len(list(closed_loop(Pace(None, 2.0), lambda: next(now), never))) == 7


def test_closed_loop_ends_when_stopped():
    answers = iter([False, False, True])
    assert len(list(closed_loop(Pace(None, None), lambda: 0.0, lambda: next(answers)))) == 2


def test_workers_share_one_iterator():
    tickets = closed_loop(Pace(10, None), lambda: 0.0, never)
    taken = [next(tickets) for _ in range(4)] + list(tickets)
    assert taken == list(range(10))


def test_open_loop_starts_are_intended_not_summed():
    starts = list(open_loop(Pace(1_000_001, None, rate_rps=3.0), begin=50.0))
    assert starts[0] == 50.0
    assert starts[-1] == 50.0 + 1_000_000 / 3.0


def test_open_loop_of_several_clients_interleaves():
    load = Load(requests=10, rate_rps=10.0, clients=3)
    starts = sorted(start for index in range(3) for start in open_loop(pace_of(load, index), begin=0.0))
    assert starts == pytest.approx([number / 10 for number in range(10)])


def test_open_loop_by_duration_has_a_count():
    load = Load(requests=None, duration_s=2.0, rate_rps=10.0, clients=3)
    assert [pace_of(load, index).requests for index in range(3)] == [7, 7, 6]
    assert pace_of(Load(requests=None, duration_s=0.25, rate_rps=10.0), 0).requests == 3


def test_open_loop_without_a_rate_is_refused():
    with pytest.raises(ValueError, match="rate"):
        list(open_loop(Pace(1, None), 0.0))


def test_closed_loop_pace_of_a_load():
    assert pace_of(Load(requests=701, clients=3), 0) == Pace(234, None)
    assert pace_of(Load(requests=None, duration_s=3.0), 0) == Pace(None, 3.0)
