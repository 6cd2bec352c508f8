"""Reads a YAML file that follows a JSON schema, and says where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import jsonschema
import yaml

from grpc_lb_lab.settings.values import RefusedError, show, unknown

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path, shown: Path, schema: dict[str, Any]) -> dict[str, Any]:
    """Return what the file says. Raises ``RefusedError`` naming the file as ``shown``, the key and what is allowed."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        refuse(f"{shown}: cannot be read: {' '.join(str(error).split())}")
    problems = sorted(jsonschema.Draft202012Validator(schema).iter_errors(data), key=lambda p: list(map(str, p.path)))
    if problems:
        refuse("\n".join(f"{shown}: {_explain(problem)}" for problem in problems))
    return dict(data)


def refuse(message: str) -> NoReturn:
    """Raise ``RefusedError`` with a whole message."""
    raise RefusedError(message=message)


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
