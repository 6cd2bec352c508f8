"""The bootstrap that tells gRPC's own xDS client where its control plane is."""

from __future__ import annotations

import json


def xds_bootstrap(address: str, node_id: str) -> str:
    """JSON for the environment variable ``GRPC_XDS_BOOTSTRAP_CONFIG``: plaintext to ``address`` (HOST:PORT).

    gRPC reads it when the process makes its first ``xds:///`` channel, and never again. ``node_id`` names the client in
    the control plane's log.
    """
    server = {"server_uri": address, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}
    return json.dumps({"xds_servers": [server], "node": {"id": node_id}}, sort_keys=True)
