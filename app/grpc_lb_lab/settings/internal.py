"""The names that the roles and playbooks use for themselves, read from them: given with ``-e`` they would win.

A role's own parameter is none of them: a default that is written out and that no other role or playbook sets. One that
is made of what a run settles is.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from grpc_lb_lab.settings import names, values
from grpc_lb_lab.settings.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

PUBLIC = frozenset((*names.VARIABLES, *names.COMPARE, *names.ALIASES))


def problems(given: Mapping[str, Any], repo: Path) -> list[str]:
    """Return a problem for each variable of the command line that is misspelt, none, or set by the lab itself."""
    own = internal_names(repo) if not PUBLIC.issuperset(given) else frozenset()
    told = {name: values.show(value) for name, value in given.items()}
    found = [
        Problem(f"{name}={told[name]}: the lab sets this itself", f"no -e {name}") for name in given if name in own
    ]
    if names.LEFT_OVER in given:
        allowed = "-e NAME=VALUE, without spaces around the ="
        found.append(Problem(f"-e {told[names.LEFT_OVER]}: no variable", allowed))
    return [*found, *names.misspelt([name for name in given if name not in own])]


@cache
def internal_names(repo: Path) -> frozenset[str]:
    """Return the names that are registered, set or passed on in the roles and playbooks below ``repo``."""
    setters: dict[str, set[str]] = {}
    parameters: dict[str, tuple[str, Any]] = {}
    for path in sorted((*repo.glob("playbooks/**/*.yml"), *repo.glob("roles/*/*/**/*.yml"))):
        role, part = path.relative_to(repo / "roles").parts[:2] if path.is_relative_to(repo / "roles") else ("", "")
        if part == "meta":
            continue
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if part == "defaults":
            parameters |= {name: (role, value) for name, value in (content or {}).items()}
            continue
        for name in content or () if part == "vars" else _set_by(content):
            setters.setdefault(name, set()).add(role)
    own = {name for name, by in setters.items() if name not in parameters or by != {parameters[name][0]}}
    while derived := {name for name, (_, value) in parameters.items() if name not in own and _is_made_of(value, own)}:
        own |= derived
    return frozenset(own - PUBLIC)


def _set_by(node: Any) -> Iterator[str]:
    """The names that a playbook, or a file of tasks, sets anywhere."""
    if isinstance(node, list):
        for entry in node:
            yield from _set_by(entry)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key in ("register", "loop_var", "index_var"):
            yield value
        elif key == "vars" or key.rpartition(".")[2] == "set_fact":
            yield from (name for name in value if name != "cacheable")
        else:
            yield from _set_by(value)


def _is_made_of(value: Any, own: Collection[str]) -> bool:
    text = json.dumps(value)
    return any(name in own for part in re.findall(r"\{\{(.*?)\}\}", text) for name in re.findall(r"\w+", part))
