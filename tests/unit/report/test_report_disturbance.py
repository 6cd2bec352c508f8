"""What happened in the middle of a steady load is said, in the same words wherever it happened."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import report_factory as made
from grpc_lb_lab.judge.build import build_report
from grpc_lb_lab.model.inventory import Event
from grpc_lb_lab.model.result import Pause

if TYPE_CHECKING:
    from grpc_lb_lab.judge.document import Report


def event(kind: str, index: int = 0, at: float = 0.2, detail: str = "") -> Event:
    pod = f"echo-{index}"
    return Event(made.START + at, kind, detail or f"pod {pod} on node n", pod, made.uid(index), made.ip(index))


def report(*events: Event, failed: int = 0, servers: int = 5) -> Report:
    """200 calls on five replicas, the first of which lost its counts where ``servers`` is 4."""
    result = made.client([[40] * 5], failed={"UNAVAILABLE": failed} if failed else {})
    result = dataclasses.replace(result, servers=result.servers[5 - servers :])
    asked = made.plan(requests=result.requests, replicas=5)
    return build_report(asked, made.inventory(events=list(events)), [result])


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([event("replica-terminating"), event("replica-ended", at=0.3)], "was deleted during the load (at 0.2 s)"),
        (
            [event("replica-ended"), event("replica-started", at=0.3)],
            "ended and was restarted during the load (at 0.2 s)",
        ),
        (
            [event("replica-ended", detail="echo-0 (127.77.1.1): SIGKILL")],
            "ended with SIGKILL during the load (at 0.2 s)",
        ),
        ([event("stop", detail="echo-0 (127.77.1.1) was sent SIGSTOP")], "was stopped during the load (at 0.2 s)"),
    ],
)
def test_a_server_that_went_is_in_the_notes_and_in_the_cause_of_what_went_wrong(
    events: list[Event], words: str
) -> None:
    fine, failed = report(*events, servers=4), report(*events, failed=3, servers=4)
    assert fine.notes == [f"server echo-0 {words}"]
    assert fine.verdict.status == "pass"
    assert failed.verdict.status == "invalid"
    assert failed.verdict.cause.startswith(f"Server echo-0 {words}. 3 of 203 calls failed")


def test_without_it_the_same_counts_do_not_add_up() -> None:
    found = report(servers=4)
    assert found.verdict.cause.startswith("The counts do not add up: echo-0 answered 40 calls, but its own count")
    assert found.notes == []


def test_a_server_that_was_restarted_in_its_pod_began_to_count_anew() -> None:
    result = made.client([[40] * 5], attempts=[10, 40, 40, 40, 40])
    asked, events = made.plan(requests=200, replicas=5), [event("replica-ended"), event("replica-started", at=0.3)]
    assert build_report(asked, made.inventory(), [result]).verdict.status == "invalid"
    found = build_report(asked, made.inventory(events=events), [result])
    assert (found.reconciliation.explained, found.verdict.status) == (True, "pass")


def paused(first: list[Pause], second: list[Pause], servers: list[Pause], failed: int = 2) -> Report:
    """Two clients and five servers, all of which stood still at the same times."""
    result = made.client([[40] * 5], failed={"UNAVAILABLE": failed} if failed else {}, attempts=[80] * 5)
    stats = [dataclasses.replace(server, pauses=servers) for server in result.servers]
    clients = [
        dataclasses.replace(result, servers=stats, pauses=one, index=index) for index, one in enumerate((first, second))
    ]
    return build_report(made.plan(requests=2 * result.requests, replicas=5, clients=2), made.inventory(), clients)


AT_FIRST, LATER = Pause(made.START + 0.1, made.START + 8.1), Pause(made.START + 0.2, made.START + 8.3)


@pytest.mark.parametrize(
    ("servers", "still"),
    [
        ([AT_FIRST], "the whole lab stood still for 8 s (at 0.2 s): its node or machine was paused"),
        ([], "all 2 clients stood still for 8 s (at 0.2 s): paused, or without time on the machine"),
    ],
)
def test_clients_that_stood_still_are_told_and_the_whole_lab_where_servers_did_too(
    servers: list[Pause], still: str
) -> None:
    found = paused([AT_FIRST], [LATER], servers)
    assert found.notes == [still]
    assert found.verdict.status == "invalid"
    assert found.verdict.cause.startswith(f"{still[0].upper()}{still[1:]}. 4 of 404 calls failed")


def test_servers_that_stood_still_while_a_client_went_on_are_named_and_one_client_of_many_is_not() -> None:
    assert paused([AT_FIRST], [], [AT_FIRST]).notes == [
        f"server echo-{index} stood still for 8 s (at 0.1 s)" for index in range(5)
    ]
    before = Pause(made.START - 9, made.START - 1)
    assert paused([AT_FIRST], [], [before]).notes == []


def test_a_load_of_which_nothing_was_answered_fails_with_what_happened_first() -> None:
    result = made.client([[0] * 5], failed={"UNAVAILABLE": 200})
    events = [event("replica-terminating")]
    found = build_report(made.plan(requests=200, replicas=5), made.inventory(events=events), [result]).verdict
    assert found.status == "fail"
    assert found.cause.startswith("Server echo-0 was deleted during the load (at 0.2 s). All 200 calls failed")
