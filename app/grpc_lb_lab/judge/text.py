"""Small words and numbers, written the same way in every view."""

from __future__ import annotations

import re


def number(value: float) -> str:
    """1234567 → ``1,234,567``; a fraction keeps one digit."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def count(value: int, word: str, plural: str | None = None) -> str:
    """``1 call``, ``2 calls``, ``1,000 calls``."""
    return f"{number(value)} {word if value == 1 else plural or word + 's'}"


def milliseconds(value: float | None) -> str:
    """``0.41 ms``, ``12.3 ms``, ``1,234 ms``; ``–`` for nothing measured."""
    if value is None:
        return "–"
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f} ms"


def seconds(value: float) -> str:
    """``0.21 s``, ``2.2 s``, ``12 s``, ``27.4 s``."""
    digits = f"{value:.{2 if abs(value) < 10 else 1}f}".rstrip("0").rstrip(".")
    return f"{digits} s"


def microseconds(value: float | None) -> str:
    """``114 µs``; ``–`` for nothing measured."""
    return "–" if value is None else f"{value:,.0f} µs"


def against(overhead: float | None) -> str:
    """The difference to the baseline's calls a second: a loss of 0.2 → ``−20 %``, a gain ``+3 %``, none ``±0 %``."""
    if overhead is None:
        return "–"
    change = round(-overhead * 100)
    return f"{'+' if change > 0 else '−' if change < 0 else '±'}{abs(change)} %"


def figure(value: float | None, digits: int = 2) -> str:
    """A statistic: fixed digits, scientific where those would show 0, none from 100 on; ``–`` for an undefined one."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1e}" if 0 < abs(value) < 10**-digits else f"{value:,.{digits}f}"


def percent(share: float) -> str:
    """0.2 → ``20.0 %``."""
    return f"{share * 100:.1f} %"


def listing(words: list[str], limit: int = 3) -> str:
    """``a, b and c``; beyond ``limit`` entries: ``a, b, c and 7 more``."""
    if len(words) > limit:
        return f"{', '.join(words[:limit])} and {number(len(words) - limit)} more"
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts ``echo-2`` before ``echo-10``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def host(address: str) -> str:
    """The host of ``HOST:PORT``, ``[V6]:PORT`` or a bare host."""
    if address.startswith("["):
        return address[1 : address.index("]")] if "]" in address else address
    return address.rsplit(":", 1)[0] if address.count(":") == 1 else address


def verdict_words(status: str, expected: str, observed: str, missed: str = "calls failed") -> str:
    """``PASS: even, as expected``, ``FAIL: expected even, observed pinned``, ``INVALID: …``; ``missed``: but what."""
    if status == "invalid":
        return f"INVALID: expected {expected}, cannot be judged" if expected else "INVALID: cannot be trusted"
    if not expected:
        return f"OBSERVED: {observed} (nothing was expected)"
    if observed != expected:
        return f"{status.upper()}: expected {expected}, observed {observed}"
    return f"{status.upper()}: {observed}, as expected" + (f", but {missed}" if status == "fail" else "")
