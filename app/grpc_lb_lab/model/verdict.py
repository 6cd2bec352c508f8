"""The words of a verdict, and the version of the report that bears it."""

from __future__ import annotations

from typing import Literal

SCHEMA_VERSION = 1

DistributionClass = Literal["even", "pinned", "spread", "hashed", "weighted", "skewed"]
Status = Literal["pass", "fail", "invalid"]
