"""The endpoint source that the command line names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_lb_lab.control_planes.endpoints.file import FileSource

if TYPE_CHECKING:
    from pathlib import Path

    from grpc_lb_lab.control_planes.endpoints.model import EndpointSource


def choose(file: Path | None, namespace: str | None) -> EndpointSource:
    """A file or a namespace; exactly one of both is given. Raises ``LabError`` when there is no cluster."""
    if file is not None:
        return FileSource(file)
    # Half a second of imports that the local lab does not need.
    from grpc_lb_lab.control_planes.endpoints.cluster import ClusterSource, cluster_configuration

    return ClusterSource(cluster_configuration(), namespace or "default")
