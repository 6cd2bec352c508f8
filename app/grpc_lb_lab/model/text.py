"""Text that comes from elsewhere, from a file of a user or from a server: what of it could act, and how it is shown."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They turn what stands beside them around: it would read otherwise than it is written."""


ACTS = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What acts and stands in JSON as it is; it has escapes for the other control characters."""


def acts(character: str) -> bool:
    """Whether a character acts on a terminal or a page instead of standing there: controls, line ends, bidi marks."""
    return character in _BIDI or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def printable(text: str) -> str:
    """Text from elsewhere that can neither move a terminal's cursor nor change its colours, on one line."""
    return text if text.isprintable() else "".join("?" if acts(character) else character for character in text)


def visible(text: str) -> str:
    """Text from elsewhere with what cannot be seen spelt out: a line break → ``\\n``, an escape → ``\\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def one_line(text: str, most: int = 300) -> str:
    """Text from elsewhere on one line of at most ``most`` characters; nothing in it can act on a terminal."""
    line = visible(" ".join(text[: 10 * most].split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"


def plain(data: Any) -> Any:
    """Data, as JSON has it, with all its texts ``printable``; what separates words or lines is a blank."""
    if isinstance(data, dict):
        return {plain(key): plain(value) for key, value in data.items()}
    if isinstance(data, list):
        return [plain(value) for value in data]
    return printable(" ".join(data.split())) if isinstance(data, str) and not data.isprintable() else data
