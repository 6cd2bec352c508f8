"""Asks for a Docker engine."""

from __future__ import annotations

import subprocess

LIMIT_S = 2.0  # an engine that answers does so in milliseconds; one that hangs must not hold the user up


def docker_answers() -> bool:
    """Tell whether a Docker engine answers in time."""
    try:
        call = subprocess.run(["docker", "info"], capture_output=True, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return call.returncode == 0
