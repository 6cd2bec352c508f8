"""What is shown of a document: the same without a character that could act on a terminal or a page.

Titles come from files of users, names of pods and texts of errors from servers, and a report may be read back that
somebody else wrote. ``report.json`` keeps what was there, escaped; everything that is shown is made of this.
"""

from __future__ import annotations

import json
import re

from grpc_lb_lab.model.data import from_dict, to_dict
from grpc_lb_lab.model.text import ACTS, plain

_ESCAPED = re.compile(r"\\[bfnrtu]")


def shown[T](document: T) -> T:
    """The document (a dataclass) as it may be shown; itself where nothing in it acts, as nearly always."""
    data = to_dict(document)
    text = json.dumps(data, ensure_ascii=False)
    if not _ESCAPED.search(text) and not ACTS.search(text):
        return document
    return from_dict(type(document), plain(data))
