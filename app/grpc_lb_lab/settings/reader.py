"""Reads variables one by one and keeps every problem, so that one message can tell them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpc_lb_lab.settings import names
from grpc_lb_lab.settings.problems import Problem
from grpc_lb_lab.settings.values import RefusedError, show

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from grpc_lb_lab.settings.values import Check


class Reader:
    """``raw`` maps variables to values as the user gave them, None: not set. ``problems`` fills up while reading."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        """Start without problems."""
        self._raw = raw
        self.problems: list[str] = []

    def has(self, name: str) -> bool:
        """Tell whether the user set the variable."""
        return self._raw.get(name) is not None

    def value(self, name: str, check: Check, default: Any) -> Any:
        """Return the checked value, the default when it is not set, or None when it is refused."""
        return self.attempt(name, check.parse) if self.has(name) else default

    def attempt[T](self, name: str, parse: Callable[[Any], T], default: Any = None) -> T | None:
        """Return what ``parse`` makes of the variable, or None when it refuses; the problem is kept."""
        value = self._raw.get(name) if self.has(name) else default
        try:
            return parse(value)
        except RefusedError as refused:
            told = Problem(f"{show(value)}: {refused}", variable=names.shown(name))
            self.problems.append(refused.message or told)
            return None
