"""One piece of a path's proof."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Evidence:
    """What was found out about one hop, in a sentence."""

    hop: str
    proven: bool
    detail: str
