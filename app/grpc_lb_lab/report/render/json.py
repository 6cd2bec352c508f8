"""``report.json``: the whole report, keys sorted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.data import to_dict

if TYPE_CHECKING:
    from grpc_lb_lab.report.document import Report


def render_json(report: Report) -> str:
    """The report as JSON; undefined figures are null."""
    return dump(to_dict(report))


def dump(data: Any) -> str:
    """JSON as every file of the lab has it: sorted keys, two spaces, a newline at the end."""
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
