"""The cells of a comparison: which strategies and scenarios, how often, each with its checked settings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.data import to_dict
from grpc_lb_lab.places.kubernetes import providers
from grpc_lb_lab.settings import Settings, names, validate, values
from grpc_lb_lab.settings.problems import Problem, SettingsError
from grpc_lb_lab.settings.reader import Reader
from grpc_lb_lab.settings.scenarios import STEADY, Scenarios
from grpc_lb_lab.settings.strategies import Catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


REPEATS = values.Whole(1, 100)
LISTS = {"strategy": "strategies", "lab_strategy": "strategies", "scenario": "scenarios", "lab_scenario": "scenarios"}
YARDSTICK = "baseline"
"""Runs first, as all overheads are told against it; and what it cannot be run with while steady, nothing can."""


@dataclass(frozen=True)
class Cell:
    """One run of a comparison. ``folder`` is its place in the bundle; ``repeat`` counts from 1."""

    strategy: str
    scenario: str
    repeat: int
    folder: str
    settings: Settings


@dataclass(frozen=True)
class Comparison:
    """All cells in the order of their runs: every cell once, then every cell again, so that drift hits all alike."""

    cells: list[Cell]
    cluster: str
    artifacts_dir: str
    resume: bool
    left_out: list[Problem]

    def wish(self) -> dict[str, Any]:
        """What two comparisons must have in common for one to go on where the other stopped."""
        loads = {f"{cell.strategy}/{cell.scenario}": to_dict(cell.settings.load) for cell in self.cells}
        return {"cluster": self.cluster, "cells": [cell.folder for cell in self.cells], "loads": loads}

    def places(self) -> list[str]:
        """Every ``strategy/scenario`` once, in order."""
        return list(dict.fromkeys(f"{cell.strategy}/{cell.scenario}" for cell in self.cells))


def compare(
    raw: Mapping[str, Any],
    *,
    repo: Path,
    answers: Callable[[str], bool] = providers.answers,
    given: Mapping[str, Any] | None = None,
) -> Comparison:
    """Check ``raw`` (as ``validate``, with ``strategies``, ``scenarios``, ``remedy``, ``lab_repeats``, ``lab_resume``).

    Without ``strategies``: all that the cluster can run. ``remedy`` names a scenario: the strategies that its file lays
    side by side, or those of ``strategies``. Raises ``UsageError`` with all problems in one message.
    """
    answers = cache(answers)
    given = given or {}
    own = [name for name in given if name in names.COMPARE]
    other = {name: value for name, value in given.items() if name not in names.COMPARE}
    reader = Reader(raw)
    reader.problems += [f"{name}: compare.yml takes a list, {LISTS[name]}" for name in other if name in LISTS]
    repeats = reader.value("lab_repeats", REPEATS, 1) or 1
    resume = reader.value("lab_resume", values.Flag(), False)

    def settle(strategy: str, scenario: str) -> Settings:
        wanted = {**raw, "lab_strategy": strategy, "lab_scenario": scenario}
        return validate(wanted, repo=repo, answers=answers, given=other)

    folder = reader.value("lab_strategies_dir", values.ExistingFolder(repo), repo / "strategies")
    known = Catalogue(folder or repo / "strategies", repo).names()
    chosen = reader.value("strategies", values.Names(), None) if "strategies" in own else None
    scenarios = reader.value("scenarios", values.Names(), None) or [STEADY]
    if reader.has("remedy"):
        reader.problems += [
            Problem(f"{name}: remedy names the scenario", "one of both") for name in own if name == "scenarios"
        ]
        scenarios = [str(raw["remedy"])]
        remedies = reader.attempt("remedy", lambda name: _remedies(reader, repo, name)) or []
        chosen = chosen or remedies
    found: dict[tuple[str, str], Settings] = {}
    refused: dict[tuple[str, str], list[Problem]] = {}
    everything = sorted(known, key=lambda name: (name != YARDSTICK, name))
    for strategy in everything if chosen is None else chosen:
        for scenario in scenarios:
            try:
                found[strategy, scenario] = settle(strategy, scenario)
            except SettingsError as error:
                refused[strategy, scenario] = [_in_a_list(problem) for problem in error.problems]
    able = {scenario for _, scenario in found}
    left_out = []
    for (strategy, scenario), problems in refused.items():
        if chosen or (strategy == YARDSTICK and scenario == STEADY) or (scenario not in able and strategy != YARDSTICK):
            reader.problems += problems
        else:
            left_out.append(problems[0].short)
    if not found and not reader.problems:
        reader.problems += [line for problems in refused.values() for line in problems]
    if reader.problems:
        raise SettingsError(reader.problems)
    first = next(iter(found.values()))
    cells = [
        Cell(strategy, scenario, repeat, _folder(strategy, scenario, repeat, repeats), settings.repeated(repeat))
        for repeat in range(1, repeats + 1)
        for (strategy, scenario), settings in found.items()
    ]
    return Comparison(cells, first.cluster, first.artifacts_dir, bool(resume), left_out)


def _remedies(reader: Reader, repo: Path, name: Any) -> list[str]:
    """Return the strategies that the file of a scenario lays side by side. Raises ``RefusedError``."""
    default = repo / "scenarios"
    catalogue = Scenarios(reader.value("lab_scenarios_dir", values.ExistingFolder(repo), default) or default, repo)
    remedies = catalogue.load(name).get("remedies")
    if not remedies:
        raise values.RefusedError("allowed is a scenario whose file has remedies")
    return list(remedies)


def _in_a_list(problem: Problem) -> Problem:
    """The problem of a single run, with the variable that a comparison has for it."""
    return problem.of(LISTS[problem.variable]) if problem.variable in ("strategy", "scenario") else problem


def _folder(strategy: str, scenario: str, repeat: int, repeats: int) -> str:
    return f"{strategy}/{scenario}" + (f"/repeat-{repeat}" if repeats > 1 else "")
