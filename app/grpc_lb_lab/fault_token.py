"""The token without which no replica takes a fault: whoever can ask for one can end the replica.

It travels in a header of the call and is in the environment of those who ask and are asked: the lab's own processes on
this machine, on a cluster the pods that read it from a Secret.
"""

from __future__ import annotations

import hmac
import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

VARIABLE = "LAB_FAULT_TOKEN"
HEADER = "x-lab-fault-token"


def own() -> str:
    """The token in this process's environment; empty without one."""
    return os.environ.get(VARIABLE, "")


def make() -> None:
    """Have a token in the environment, for this process and all that it starts."""
    os.environ[VARIABLE] = own() or secrets.token_hex(16)


def metadata(token: str) -> tuple[tuple[str, str], ...]:
    """The headers of a call that asks for a fault."""
    return ((HEADER, token),)


def is_among(sent: Iterable[tuple[str, str | bytes]], token: str) -> bool:
    """Whether the headers ``sent`` have ``token``; never where that is empty."""
    found = [str(value) for key, value in sent if key == HEADER]
    return bool(token) and any(hmac.compare_digest(value.encode(), token.encode()) for value in found)
