"""The exceptions that every part of the lab raises for what a user can cause; the command line prints them in one line.

Anything else that escapes is a bug of the lab and keeps its traceback.
"""

from __future__ import annotations

PREFIX = "lb-lab: error: "
"""Begins each line of stderr that tells an error."""


class LabError(Exception):
    """The lab could not do its work (port taken, disk full, program missing). The message is the whole explanation."""

    exit_code = 4


class UsageError(LabError):
    """The user asked for something that makes no sense; the message names the value and what is allowed."""

    exit_code = 2


class ArtifactError(LabError):
    """An artifact could not be read or written; the message names the file and the reason."""


def check_listen(option: str, value: str) -> None:
    """Raise ``UsageError`` naming ``option`` unless ``value`` is ``ADDRESS:PORT``."""
    host, _, port = value.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UsageError(f"{option} must be ADDRESS:PORT with a port up to 65535, not {value!r}")
