"""Whether and where Prometheus may watch a client: loads what that takes only where it is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc_lb_lab.load.channels.channel import LabChannel
    from grpc_lb_lab.load.exporter import Exporter
    from grpc_lb_lab.model.plan import Plan


def offer(listen: str, opened: Sequence[LabChannel], plan: Plan, index: int, notes: list[str]) -> Exporter | None:
    """Offer the figures of client ``index`` at ``listen``; where that cannot be, a note says so. Empty: nowhere."""
    if not listen:
        return None
    from grpc_lb_lab.load.exporter import Exporter
    from grpc_lb_lab.metrics import taken

    about = {"run": plan.run, "strategy": plan.strategy.name, "scenario": plan.scenario, "client": str(index)}
    try:
        return Exporter(listen, opened, about)
    except OSError as error:
        notes.append(taken(listen, error))
        return None
