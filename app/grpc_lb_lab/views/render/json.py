"""``report.json``: the whole report, keys sorted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.data import to_dict
from grpc_lb_lab.model.text import ACTS, acts

if TYPE_CHECKING:
    from grpc_lb_lab.judge.document import Report


def render_json(report: Report) -> str:
    """The report as JSON; undefined figures are null."""
    return dump(to_dict(report))


def dump(data: Any) -> str:
    """JSON as every file of the lab has it: sorted keys, two spaces, a newline at the end."""
    text = json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    # What could act on a terminal that shows the file stands in texts only, and JSON has an escape for each character.
    return (
        "".join(_escaped(c) if acts(c) and c != "\n" else c for c in text) + "\n" if ACTS.search(text) else f"{text}\n"
    )


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}"
