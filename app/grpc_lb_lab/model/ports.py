"""The ports that the parts of the lab have in every place: of what listens on an address or in a pod of its own.

The files of Envoy, nginx and HAProxy and the chart are held to these by a test.
"""

from __future__ import annotations

ECHO_PORT = 50051
"""What ``lab_port`` changes."""

CONTROL_PLANE_PORTS = {"lookaside": 50052, "xds": 50053}
SIDECAR_PORT = 15001
"""Where an Envoy beside a client takes its calls."""

GATEWAY_PORT = 8080
ADMIN_PORT = 9901
"""Where a proxy beside a client or at the edge tells its operator how it is."""

SERVER_ADMIN_PORT = 9902
"""The same of an Envoy beside a server. Another port, as on Kubernetes an Envoy beside a client has that one."""

METRICS_PORT = 9464
ISTIO_PORTS = range(15_000, 15_091)
"""Where a sidecar of Istio listens in every pod that it is injected into (istio.io, "Application requirements")."""

ISTIO_ADMIN_PORT = 15_000
ISTIO_AGENT_PORT = 15_020
"""Where Istio's agent passes on what its sidecar counts: the only port that also answers to another pod in the mesh."""
