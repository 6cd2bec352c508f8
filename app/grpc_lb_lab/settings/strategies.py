"""The strategy files: which there are, and whether one follows the grammar ``charts/grpc-echo/values.schema.json``."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jsonschema
import yaml

from grpc_lb_lab.settings.values import RefusedError, show, unknown

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "charts/grpc-echo/values.schema.json"


class Catalogue:
    """The strategies of one folder, one YAML file each."""

    def __init__(self, folder: Path, repo: Path) -> None:
        """Look into ``folder``; ``repo`` holds the grammar."""
        self.folder = folder
        self._repo = repo

    @cached_property
    def _schema(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self._repo / SCHEMA).read_text(encoding="utf-8"))
        return data

    def names(self) -> tuple[str, ...]:
        """Return the names of all strategies, sorted."""
        return tuple(sorted(path.stem for path in self.folder.glob("*.yaml")))

    def scenarios(self) -> tuple[str, ...]:
        """Return the scenarios that a strategy file may speak of."""
        strategy = self._schema["properties"]["strategy"]["properties"]
        return tuple(strategy["expect"]["propertyNames"]["enum"])

    def path(self, name: str) -> Path:
        """Return where the file of a strategy is."""
        return self.folder / f"{name}.yaml"

    def load(self, name: Any) -> dict[str, Any]:
        """Read and check one strategy file.

        Raises ``RefusedError`` naming the strategies that exist, or the file, the key and what is allowed.
        """
        if not isinstance(name, str) or name not in self.names():
            raise RefusedError(unknown(str(name), self.names()))
        path = self.path(name)
        shown = path.relative_to(self._repo) if path.is_relative_to(self._repo) else path
        try:
            data = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            _refuse(f"{shown}: cannot be read: {' '.join(str(error).split())}")
        problems = sorted(jsonschema.Draft202012Validator(self._schema).iter_errors(data), key=lambda p: list(p.path))
        if problems:
            _refuse("\n".join(f"{shown}: {_explain(problem)}" for problem in problems))
        if data["strategy"]["name"] != name:
            _refuse(f"{shown}: strategy.name is {data['strategy']['name']}; allowed is {name}, the name of the file")
        return dict(data)


def _explain(problem: jsonschema.ValidationError) -> str:
    """Say where in the file the problem is, what stands there and what is allowed."""
    where = ".".join(str(part) for part in problem.absolute_path) or "the file"
    rule: Any = problem.validator_value
    if problem.validator == "enum":
        return f"{where}={show(problem.instance)}: {unknown(str(problem.instance), map(str, rule))}"
    if problem.validator == "additionalProperties" and rule is False:
        schema: Any = problem.schema
        found: Any = problem.instance
        strange = [str(key) for key in found if key not in schema["properties"]]
        return "; ".join(f"{where}: key {key} is {unknown(key, schema['properties'])}" for key in strange)
    return f"{where}: {problem.message}"


def _refuse(message: str) -> None:
    raise RefusedError(message=message)
