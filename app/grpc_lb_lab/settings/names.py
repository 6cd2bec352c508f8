"""The names of the public variables, their other spellings, and what was probably meant by a wrong one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.settings import values
from grpc_lb_lab.settings.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

VARIABLES = (
    "lab_strategy",
    "lab_scenario",
    "lab_cluster",
    "lab_kind_node_image",
    "lab_replicas",
    "lab_requests",
    "lab_duration",
    "lab_rate",
    "lab_concurrency",
    "lab_clients",
    "lab_connections",
    "lab_seed",
    "lab_port",
    "lab_expect",
    "lab_namespace",
    "lab_istio_version",
    "lab_istio_charts",
    "lab_istio_values",
    "lab_istio_mtls",
    "lab_pitfall",
    "lab_artifacts_dir",
    "lab_state_dir",
    "lab_strategies_dir",
    "lab_scenarios_dir",
)
COMPARE = ("strategies", "scenarios", "remedy", "lab_repeats", "lab_resume")
"""What only compare.yml takes."""

ALIASES = {"strategy": "lab_strategy", "scenario": "lab_scenario"}


def shown(name: str) -> str:
    """Return the spelling of a variable that users know."""
    return next((alias for alias, target in ALIASES.items() if target == name), name)


def contradictions(raw: Mapping[str, Any]) -> list[str]:
    """Return a problem for each variable that is given in two spellings with different values."""
    return [
        Problem(f"{alias}={values.show(raw[alias])} contradicts {name}={values.show(raw[name])}", "one of them")
        for alias, name in ALIASES.items()
        if raw.get(alias) is not None and raw.get(name) is not None and raw[alias] != raw[name]
    ]


def maps(options: Iterable[str]) -> dict[str, str]:
    """Return the values of ``-e NAME={…}`` whole: Ansible's own reading of ``NAME=value`` ends at the first space."""
    found = (re.fullmatch(r"(\w+)=(\{.*\})", option.strip(), re.DOTALL) for option in options)
    return {match[1]: match[2] for match in found if match and match[1] in VARIABLES}


LEFT_OVER = "_raw_params"
"""Under this name Ansible gives, and forgets, the words of ``-e`` that are no ``NAME=VALUE``."""


def without_maps(given: Mapping[str, Any], whole: Mapping[str, str]) -> dict[str, Any]:
    """Return the variables of the command line without what Ansible left over of ``maps``, which are read whole."""
    of_maps = any(value.endswith(str(given.get(LEFT_OVER))) for value in whole.values())
    return {name: value for name, value in given.items() if name != LEFT_OVER or not of_maps}


def misspelt(given: Collection[str]) -> list[str]:
    """Return a problem for every unknown ``lab_…`` variable, and for others that are nearly one of ours."""
    known = [*VARIABLES, *ALIASES]
    return [_problem(name, known) for name in given if name not in known and _is_meant_for_us(name, known)]


def _is_meant_for_us(name: str, known: list[str]) -> bool:
    return name.startswith("lab_") or f"lab_{name}" in known or bool(values.did_you_mean(name, known, cutoff=0.85))


def _problem(name: str, known: list[str]) -> str:
    if f"lab_{name}" in known:
        return f"{name}: unknown variable, did you mean lab_{name}?"
    if name in COMPARE:
        return Problem(f"{name}: only playbooks/compare.yml takes it", f"no -e {name} here")
    told = values.show(name)
    # All our names begin alike, so only a close match is worth telling.
    hint = values.did_you_mean(name, known, cutoff=0.8)
    return Problem(f"{told}: unknown variable{hint}", "" if hint else ", ".join(known))
