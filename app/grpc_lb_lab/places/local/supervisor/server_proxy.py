"""The Envoy beside a replica: it takes the replica's port, the server listens behind it. Together they are the pod."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpc_lb_lab.places.local.supervisor import envoy
from grpc_lb_lab.places.local.supervisor.processes import describe_end
from grpc_lb_lab.places.local.supervisor.service import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from grpc_lb_lab.places.local.supervisor.events import EventLog
    from grpc_lb_lab.places.local.supervisor.member import Member
    from grpc_lb_lab.places.local.supervisor.processes import Process, Spawner

_GRACE_S = 0.5
_USUAL_PORT = 50061


def port_behind(port: int) -> int:
    """The port that the server listens on behind an Envoy at ``port``."""
    return _USUAL_PORT if port != _USUAL_PORT else _USUAL_PORT + 1


@dataclass(frozen=True)
class ServerProxy:
    """How to start one: ``file`` is a bootstrap file under the chart's ``files/envoy``."""

    program: envoy.Program
    file: str

    async def start(self, spawner: Spawner, pod: str, ip: str, port: int, logs: Path) -> Process:
        """Start the Envoy of one replica at ``ip:port``. Raises ``LabError`` for a file that cannot be filled."""
        words = {"LISTEN_ADDRESS": ip, "ADMIN_ADDRESS": ip, "SERVER_ADDRESS": ip}
        text = envoy.fill(envoy.CHART_FILES / self.file, ECHO_PORT=port, SERVER_PORT=port_behind(port), **words)
        config = logs / f"{pod}-envoy.yaml"
        write_atomically(config, text)
        line = envoy.command(self.program.path, config)
        return await spawner.execute(f"envoy-{pod}", line, logs / f"{pod}-envoy.log")


async def end_together(member: Member, spawner: Spawner, events: EventLog) -> None:
    """End the server when its Envoy dies: nobody could reach it any more, and a pod restarts as a whole."""
    assert member.proxy is not None
    status = await member.proxy.ended
    if member.process.alive and member.wanted:
        events.add("server-proxy-ended", f"the Envoy beside {member.pod} ({member.ip}): {describe_end(status)}")
        await spawner.stop([member.process], 0)


async def end_proxy(member: Member, spawner: Spawner) -> None:
    """End the Envoy of a replica whose server has ended."""
    if member.proxy is not None:
        await spawner.stop([member.proxy], _GRACE_S)
