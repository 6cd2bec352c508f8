"""What a client writes for the lab to read, among the lines of its log and on its standard output.

The lines of the live feed, which it writes there too where it cannot reach the feed's file, are those of ``live_feed``.
"""

from __future__ import annotations

import json
from typing import Any

from grpc_lb_lab.model import live_feed

_RESULT = "LB-LAB-RESULT "


def result_line(text: str) -> str:
    """The line, without its newline, that hands over a result, which is JSON on one line."""
    return f"{_RESULT}{text}"


def result(line: str) -> dict[str, Any] | None:
    """The result in a line; None for another line."""
    found: dict[str, Any] | None = json.loads(line.removeprefix(_RESULT)) if line.startswith(_RESULT) else None
    return found


def is_for_programs(line: str) -> bool:
    """Whether nobody needs to read this line of ``kubectl logs --prefix``: a result, or a line of the live feed."""
    return _RESULT in line or f'] {live_feed.PREFIX}{{"kind"' in line
