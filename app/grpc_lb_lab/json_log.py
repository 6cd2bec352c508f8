"""The server's log: one JSON object a line on stderr."""

from __future__ import annotations

import json
import sys
import time


def log(event: str, **fields: object) -> None:
    """Write one line; ``at`` is in seconds since the epoch."""
    sys.stderr.write(json.dumps({"at": round(time.time(), 3), "event": event, **fields}) + "\n")
    sys.stderr.flush()
