"""``lab_expect``: what the user expects of a run, instead of what the files of strategy and scenario say."""

from __future__ import annotations

from typing import Any

from grpc_lb_lab import documents
from grpc_lb_lab.model.verdict import CLASSES
from grpc_lb_lab.settings.values import RefusedError, show

WORDS = {"share": ("never", "any"), "errors": ("none", "some", "any")}
MOST_S = 600
ALLOWED = (
    f"allowed is a class ({', '.join(CLASSES)}), or a map such as {{class: even, share: 10, errors: none}} with "
    f"share: never, any or seconds up to {MOST_S}; errors: none, some, any or seconds"
)


class Expected:
    """An entry as scenario files have it under ``expect``; what is left out may be anything."""

    def parse(self, value: Any) -> dict[str, Any]:
        """Accept ``even``, ``{"class": "even"}`` and either as YAML text; returns ``class``, ``share``, ``errors``."""
        found = _read(value) if isinstance(value, str) else value
        found = {"class": found} if isinstance(found, str) else found
        if not isinstance(found, dict) or found.get("class") not in CLASSES:
            raise RefusedError(ALLOWED)
        entry = {"share": "any", "errors": "any", **found}
        for key, given in entry.items():
            if key != "class" and (key not in WORDS or not (given in WORDS[key] or _is_seconds(given))):
                raise RefusedError(f"{show(key)}: {show(given)} is not known; {ALLOWED}")
        return entry


def steady_problem(entry: dict[str, Any]) -> str:
    """Tell what of an expectation means nothing where nothing happens but the load; empty when all of it does."""
    if entry["share"] != "any":
        return "share is for scenarios; allowed with steady is class, and errors: none"
    if entry["errors"] not in ("any", "none"):
        return "steady allows no failed call; allowed with it is class, and errors: none"
    return ""


def _read(text: str) -> Any:
    try:
        return documents.parse(str(text))  # Ansible has texts of its own kind
    except documents.DocumentError as error:
        raise RefusedError(f"is not YAML ({error}); {ALLOWED}") from error


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MOST_S
