"""Folds every call into counts of fixed size: a run of ten minutes needs the memory of one of ten seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpc_lb_lab.load.call_schedule import CallSlot
from grpc_lb_lab.load.record.histogram import FastHistogram
from grpc_lb_lab.load.record.latency_slots import LatencySlots
from grpc_lb_lab.load.record.replies import Answer, read_reply
from grpc_lb_lab.load.record.timeline import Timeline
from grpc_lb_lab.model.result import BackendCount, Failure, PathCount

if TYPE_CHECKING:
    from collections.abc import Sequence

REPLIES_KEPT = 1024  # times channels; different replies are few: one a replica, connection and path
PATHS_KEPT = 1000
OTHER_PATHS = ("(more)", ())
FAILURES_KEPT = 5000


@dataclass
class _Backend:
    answer: Answer
    requests: int
    first_seen: float
    last_seen: float


class Recorder:
    """Takes outcomes on one thread. Times are on the caller's monotonic clock; ``epoch_offset`` makes them epoch times.

    Latencies of failed calls count too: a deadline that was used up is a latency that a caller has seen.
    """

    def __init__(
        self,
        channels: int,
        epoch_offset: float,
        now: float,
        lanes: Sequence[CallSlot] | None = None,
        over_time: bool = False,
    ) -> None:
        """Start empty at ``now`` for ``channels`` channels; calls come by lane (default: a lane is a channel).

        ``over_time``: keep the first failed calls one by one, too, and latencies by time.
        """
        self.ok = 0
        self.failed = 0
        self.last_ok = now
        self.errors: dict[str, int] = {}
        self.latency = FastHistogram()
        self.lag = FastHistogram()
        self.timeline = Timeline()
        self.failures: list[Failure] = []
        self.slots = LatencySlots(self.latency) if over_time else None
        self._offset = epoch_offset
        self._slot_edge = math.inf
        self._pending_at = now
        self._edge = self._next_edge(now)
        self._pending_ok = 0
        self._pending_failed = 0
        self._lanes = list(lanes) if lanes is not None else [CallSlot(channel) for channel in range(channels)]
        # A lane: reply bytes to [calls not folded yet, time of the last one, what the reply says].
        self._cells: list[dict[bytes, tuple[list[float], Answer]]] = [{} for _ in self._lanes]
        self._held = 0
        self._most_held = REPLIES_KEPT * channels
        self._per_channel: list[dict[str, int]] = [{} for _ in range(channels)]
        self._by_key: dict[str, dict[str, int]] = {lane.key: {} for lane in self._lanes if lane.key}
        self._by_method: dict[str, dict[str, int]] = {lane.method: {} for lane in self._lanes}
        self._backends: dict[str, _Backend] = {}
        self._paths: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}

    @property
    def requests(self) -> int:
        """Calls that have ended, whatever their outcome."""
        return self.ok + self.failed

    def record_ok(self, lane: int, intended: float, ended: float, reply: bytes) -> None:
        """Count a call that was due at ``intended`` and was answered at ``ended``."""
        if ended >= self._edge:
            self.fold(ended)
        cell = self._cells[lane].get(reply)
        if cell is None:
            answer = read_reply(reply)
            if answer is None:
                self.record_failed(intended, ended, "INTERNAL")
                return
            cell = self._new_cell(lane, reply, answer, ended)
        cell[0][0] += 1
        cell[0][1] = ended
        self._pending_ok += 1
        self.ok += 1
        self.last_ok = ended
        self.latency.record(ended - intended)

    def record_failed(self, intended: float, ended: float, code: str) -> None:
        """Count a call that ended with the gRPC status ``code``."""
        if ended >= self._edge:
            self.fold(ended)
        self.failed += 1
        self._pending_failed += 1
        self.errors[code] = self.errors.get(code, 0) + 1
        self.latency.record(ended - intended)
        if self.slots is not None and len(self.failures) < FAILURES_KEPT:
            self.failures.append(Failure(intended + self._offset, ended + self._offset, code))

    def fold(self, now: float) -> None:
        """Move what is pending into the totals and the timeline; the next interval begins at ``now``."""
        per_backend: dict[str, int] = {}
        for index, cells in enumerate(self._cells):
            for pending, answer in cells.values():
                if pending[0]:
                    self._fold_cell(index, pending, answer, per_backend)
        if self._held >= self._most_held:
            self._held = 0
            for cells in self._cells:
                cells.clear()
        self.timeline.add(self._pending_at + self._offset, self._pending_ok, self._pending_failed, per_backend)
        self._pending_ok = self._pending_failed = 0
        if self.slots is not None and now >= self._slot_edge:
            self.slots.end_slot(self._pending_at + self._offset)
        self._pending_at = now
        self._edge = self._next_edge(now)

    def finish(self, now: float) -> None:
        """``fold`` for the last time: what is left goes into its slot, too."""
        self.fold(now)
        if self.slots is not None:
            self.slots.end_slot(now + self._offset)

    def calls_by_pod(self) -> dict[str, int]:
        """Answered calls by the replica's name; ``fold`` first."""
        calls: dict[str, int] = {}
        for backend in self._backends.values():
            calls[backend.answer.pod] = calls.get(backend.answer.pod, 0) + backend.requests
        return calls

    def backends(self) -> list[BackendCount]:
        """What came from each replica, by UID; ``fold`` first."""
        return [
            BackendCount(
                pod=backend.answer.pod,
                uid=uid,
                ip=backend.answer.ip,
                started_at=backend.answer.started_at,
                requests=backend.requests,
                first_seen_at=backend.first_seen + self._offset,
                last_seen_at=backend.last_seen + self._offset,
            )
            for uid, backend in sorted(self._backends.items())
        ]

    def answered(self) -> dict[str, int]:
        """Answers by pod so far; needs no ``fold`` and changes nothing."""
        counts: dict[str, int] = {}
        for backend in self._backends.values():
            counts[backend.answer.pod] = counts.get(backend.answer.pod, 0) + backend.requests
        for cells in self._cells:
            for pending, answer in cells.values():
                counts[answer.pod] += int(pending[0])
        return counts

    def pods(self) -> dict[str, str]:
        """The pods that have answered, by IP."""
        return {backend.answer.ip: backend.answer.pod for backend in self._backends.values()}

    def per_channel(self) -> list[dict[str, int]]:
        """Answers by replica UID, a dict a channel; ``fold`` first."""
        return [dict(sorted(counts.items())) for counts in self._per_channel]

    def keys(self) -> dict[str, dict[str, int]]:
        """Answers by replica UID, a dict a key; ``fold`` first."""
        return {key: dict(sorted(counts.items())) for key, counts in sorted(self._by_key.items()) if counts}

    def methods(self) -> dict[str, dict[str, int]]:
        """Answers by replica UID, a dict a method; ``fold`` first."""
        return {method: dict(sorted(counts.items())) for method, counts in sorted(self._by_method.items())}

    def paths(self) -> list[PathCount]:
        """Calls by the way they came; ``fold`` first."""
        return [PathCount(host, dict(headers), count) for (host, headers), count in sorted(self._paths.items())]

    def _new_cell(self, lane: int, reply: bytes, answer: Answer, now: float) -> tuple[list[float], Answer]:
        if self._held >= self._most_held:
            self.fold(now)
        self._held += 1
        cells = self._cells[lane]
        self._backends.setdefault(answer.uid, _Backend(answer, 0, now, now))
        cells[reply] = ([0, now], answer)
        return cells[reply]

    def _fold_cell(self, index: int, pending: list[float], answer: Answer, per_backend: dict[str, int]) -> None:
        count, last_seen = int(pending[0]), pending[1]
        pending[0] = 0
        lane = self._lanes[index]
        tables = [self._per_channel[lane.channel], self._by_method[lane.method], per_backend]
        if lane.key:
            tables.append(self._by_key[lane.key])
        for counts in tables:
            counts[answer.uid] = counts.get(answer.uid, 0) + count
        backend = self._backends[answer.uid]
        backend.requests += count
        backend.last_seen = max(backend.last_seen, last_seen)
        path: tuple[str, tuple[tuple[str, str], ...]] = (answer.peer_host, answer.headers)
        if path not in self._paths and len(self._paths) >= PATHS_KEPT:
            path = OTHER_PATHS
        self._paths[path] = self._paths.get(path, 0) + count

    def _next_edge(self, now: float) -> float:
        edge = self.timeline.next_edge(now + self._offset) - self._offset
        if self.slots is None:
            return edge
        # Slots end at an edge of their own: calls before it and after it are folded apart.
        self._slot_edge = self.slots.next_edge(now + self._offset) - self._offset
        return min(edge, self._slot_edge)
