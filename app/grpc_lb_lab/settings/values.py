"""One parser a kind of value. Each returns the parsed value or raises ``RefusedError`` saying what is allowed."""

from __future__ import annotations

import difflib
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from grpc_lb_lab.model.files import is_there
from grpc_lb_lab.model.text import acts, one_line, visible

if TYPE_CHECKING:
    from collections.abc import Iterable

_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_IMAGE = re.compile(
    r"(?=.{1,500}\Z)[a-z0-9][a-z0-9._/-]*(:[0-9]+/[a-z0-9._/-]+)?(:[A-Za-z0-9._-]{1,128})?(@sha256:[0-9a-f]{64})?"
)

MOST_NAMES = 60
"""So many names are told where one of them is allowed."""


class RefusedError(ValueError):
    """A value that cannot be used, and what is allowed. ``message`` replaces the usual ``name=value: allowed``."""

    def __init__(self, allowed: str = "", *, message: str = "") -> None:
        """Set one of the two."""
        super().__init__(allowed)
        self.message = message


class Check(Protocol):
    """Turns the text of a variable into a value."""

    def parse(self, value: Any) -> Any:
        """Return the value or raise ``RefusedError``."""


@dataclass(frozen=True)
class Whole:
    """A whole number within limits, both included, ``except_for`` some; ``because`` says why not those."""

    low: int
    high: int
    except_for: tuple[range, ...] = ()
    because: str = ""

    def parse(self, value: Any) -> int:
        """Accept ``7`` and ``"7"``; refuse true, 2.5, "1e3", "1_000" and everything outside the limits."""
        allowed = f"allowed is a whole number from {self.low:,} to {self.high:,}"
        if self.except_for:
            allowed += f", but not {', '.join(map(_span, self.except_for))}{self.because}"
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise RefusedError(allowed)
        if isinstance(value, str) and not _INTEGER.fullmatch(value):
            raise RefusedError(allowed)
        number = int(value)
        if not self.low <= number <= self.high or any(number in span for span in self.except_for):
            raise RefusedError(allowed)
        return number


def _span(numbers: range) -> str:
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"


@dataclass(frozen=True)
class Flag:
    """True or false, as YAML and as the text of a command line."""

    def parse(self, value: Any) -> bool:
        """Accept true, false, yes and no in any case."""
        word = str(value).lower() if isinstance(value, bool | str) else ""
        if word not in ("true", "yes", "false", "no"):
            raise RefusedError("allowed is true or false")
        return word in ("true", "yes")


@dataclass(frozen=True)
class Names:
    """A list of names, none twice; a text with commas is one too."""

    def parse(self, value: Any) -> list[str]:
        """Accept ``["a", "b"]`` and ``"a,b"``; refuse an empty list."""
        found = value.split(",") if isinstance(value, str) else value
        if (
            not isinstance(found, list)
            or not found
            or not all(isinstance(name, str) and name.strip() for name in found)
            or len(found) > MOST_NAMES
        ):
            raise RefusedError(
                f"""allowed is a list such as ["service", "envoy"] or service,envoy, of {MOST_NAMES} at most"""
            )
        return list(dict.fromkeys(name.strip() for name in found))


@dataclass(frozen=True)
class Number:
    """A decimal number within limits, both included; ``unit`` is for the message."""

    low: float
    high: float
    unit: str

    def parse(self, value: Any) -> float:
        """Accept ``2.5`` and ``"2.5"``; refuse true, nan, inf and everything outside the limits."""
        allowed = f"allowed is a number of {self.unit} from {self.low:,} to {self.high:,}"
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise RefusedError(allowed)
        if isinstance(value, str) and not _DECIMAL.fullmatch(value):
            raise RefusedError(allowed)
        try:
            number = float(value)
        except OverflowError as error:  # a whole number of more than 308 digits
            raise RefusedError(allowed) from error
        if not math.isfinite(number) or not self.low <= number <= self.high:
            raise RefusedError(allowed)
        return number


@dataclass(frozen=True)
class Word:
    """One of a few words."""

    allowed: tuple[str, ...]

    def parse(self, value: Any) -> str:
        """Return the word; a near miss gets a suggestion."""
        if isinstance(value, str) and value in self.allowed:
            return str(value)
        raise RefusedError(unknown(show(value), self.allowed))


@dataclass(frozen=True)
class Pattern:
    """Text of a certain shape; ``forbidden`` is a further pattern that must not match."""

    shape: re.Pattern[str]
    allowed: str
    forbidden: re.Pattern[str] | None = None

    def parse(self, value: Any) -> str:
        """Return the text."""
        if not isinstance(value, str) or not self.shape.fullmatch(value):
            raise RefusedError(self.allowed)
        if self.forbidden and self.forbidden.fullmatch(value):
            raise RefusedError(self.allowed)
        return str(value)


# `reset.yml` deletes the namespace, so it must be one that nobody else lives in.
NAMESPACE = Pattern(
    _LABEL,
    "allowed is a DNS label (a-z, 0-9 and -, at most 63 characters) that is not default or kube-…",
    re.compile(r"default|kube-.*"),
)
IMAGE = Pattern(_IMAGE, "allowed is an image reference such as kindest/node:v1.36.4")


@dataclass(frozen=True)
class ExistingFolder:
    """A folder that exists; relative paths count from ``base``."""

    base: Path

    def parse(self, value: Any) -> Path:
        """Return the absolute path."""
        path = _path(value, self.base)
        if not path.is_dir():
            raise RefusedError("allowed is a folder that exists")
        return path


@dataclass(frozen=True)
class WritableFolder:
    """A folder that is writable or can be made; relative paths count from ``base``."""

    base: Path

    def parse(self, value: Any) -> Path:
        """Return the absolute path; nothing is made."""
        path = _path(value, self.base)
        nearest = next(parent for parent in (path, *path.parents) if parent.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            problem = "not writable" if nearest.is_dir() else "a file"
            raise RefusedError(f"{nearest} is {problem}; allowed is a folder that is writable or can be created")
        return path


def _path(value: Any, base: Path) -> Path:
    if not isinstance(value, str) or not value.strip() or any(map(acts, value)):
        raise RefusedError("allowed is the path of a folder")
    try:
        path = (base / Path(value).expanduser()).absolute()
        is_there(path)
    except (OSError, RuntimeError, ValueError) as error:  # a name too long; a ~user that does not exist; no UTF-8
        raise RefusedError(f"allowed is the path of a folder ({one_line(str(error), 100)})") from error
    return path


def unknown(word: str, allowed: Iterable[str]) -> str:
    """Return the words for something that is none of ``allowed``."""
    names = list(allowed)
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"unknown{did_you_mean(word, names) or '.'} Allowed: {', '.join(names[:MOST_NAMES])}{more}"


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return ``, did you mean X?`` for the nearest known word, or nothing."""
    near = difflib.get_close_matches(word[:100], list(known), 1, cutoff)
    return f", did you mean {near[0]}?" if near else ""


def show(value: Any) -> str:
    """Return a value as it stands in a message: short, on one line, visible when empty or when it would act on it."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except (ValueError, RecursionError):  # Python writes no number of more than 4,300 digits
        text = "a value too large to show"
    text = visible(text[:61])
    text = text if len(text) <= 60 else f"{text[:57]}…"
    return text if text.strip() else "'' (empty)"
