"""The page that shows a run while it runs: one file, filled by a stream of views."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from grpc_lb_lab.views.render.html import page_with_script

if TYPE_CHECKING:
    from grpc_lb_lab.views.live.view import View


def render_watch_page() -> str:
    """The page; it asks ``views`` beside itself for what to show."""
    return page_with_script("watch.html.j2", "watch.js")


def view_json(view: View) -> str:
    """The view as one line of JSON, with what the page needs to draw it: ``progress`` and each row's ``length``."""
    data = dataclasses.asdict(view)
    for row, entry in zip(view.rows, data["rows"], strict=True):
        entry |= {"length": round(view.length(row), 4), "here": row.here}
    data["progress"] = round(view.progress, 4)
    return json.dumps(data, separators=(",", ":"))
