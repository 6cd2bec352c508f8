"""Reads a YAML file that follows a JSON schema, and says where it does not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

import jsonschema

from grpc_lb_lab import documents
from grpc_lb_lab.model.text import one_line
from grpc_lb_lab.settings.values import RefusedError, show, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
"""What a strategy or a scenario may be called, and its file without ``.yaml``."""

MOST_PROBLEMS = 5
"""So many are told of one file; a broken section would tell of each of its keys."""


def names(folder: Path) -> list[str]:
    """Return the names of the files in a folder that can be called by a name, sorted."""
    return sorted(path.stem for path in folder.glob("*.yaml") if NAME.fullmatch(path.stem))


def shown_name(path: Path, repo: Path) -> str:
    """Return a file as it stands in a message: below ``repo`` where it is, on one line, not endless."""
    return one_line(str(path.relative_to(repo) if path.is_relative_to(repo) else path), 120)


def read(path: Path, shown: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return what the file says. Raises ``RefusedError`` naming the file as ``shown``, the key and what is allowed."""
    try:
        data = documents.read(path)
    except documents.DocumentError as error:
        refuse(f"{shown}: cannot be read: {error}")
    if data is None:
        refuse(f"{shown}: is empty; allowed is a map with {', '.join(schema['required'])}")
    found = sorted(_Validator(schema).iter_errors(data), key=lambda problem: list(map(str, problem.path)))
    told = {_place(problem.absolute_path) for problem in found}
    breaks = (text for place, text in _line_breaks((), data) if place not in told)
    problems = list(dict.fromkeys([*(_explain(problem) for problem in found), *breaks]))
    if problems:
        more = len(problems) - MOST_PROBLEMS
        rest = [f"{shown}: and {more} more of this kind; allowed is what {schema['title']} says"] if more > 0 else []
        refuse("\n".join([*(f"{shown}: {problem}" for problem in problems[:MOST_PROBLEMS]), *rest]))
    return dict(data)


def refuse(message: str) -> NoReturn:
    """Raise ``RefusedError`` with a whole message."""
    raise RefusedError(message=message)


def _pattern(_: Any, rule: str, instance: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
    """Check a pattern of the schema, which all begin with ^ and end with $; Python's $ lets a last newline through."""
    if isinstance(instance, str) and not re.fullmatch(rule, instance):
        yield jsonschema.ValidationError(f"is not of the form {rule}")


_extend: Any = jsonschema.validators.extend  # it carries no types
_Validator = _extend(jsonschema.Draft202012Validator, {"pattern": _pattern})


def _place(path: Iterable[str | int]) -> str:
    """Where something stands in a file, as a message says it."""
    return one_line(".".join(map(str, path)), 120) or "the file"


def _line_breaks(path: tuple[str | int, ...], data: Any) -> Iterator[tuple[str, str]]:
    """Tell place and problem of each text of several lines: they stand in tables, on a terminal and in messages."""
    if isinstance(data, str) and ("\n" in data or "\t" in data):
        words = "allowed is text on one line (>- instead of > or | ends without a line break)"
        yield _place(path), f"{_place(path)}={show(data)}: {words}"
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, child in children:
        yield from _line_breaks((*path, key), child)


_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a map",
    "array": "a list",
    "null": "nothing",
}
_BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "a text of at least {} characters",
    "maxLength": "a text of at most {} characters",
    "minItems": "a list of at least {}",
    "maxItems": "a list of at most {}",
    "minProperties": "a map of at least {}",
    "maxProperties": "a map of at most {}",
    "pattern": "text of the form {}",
    "not": "anything but {}",
}
"""A rule of the schema to what it allows; ``{}`` is the rule's value."""


def _explain(problem: jsonschema.ValidationError) -> str:
    """Say where in the file the problem is, what stands there and what is allowed."""
    where = _place(problem.absolute_path)
    kind = str(problem.validator)
    rule: Any = problem.validator_value
    found: Any = problem.instance
    if kind == "enum":
        return f"{where}={show(found)}: {unknown(_word(found), map(str, rule))}"
    if kind == "additionalProperties" and rule is False:
        schema: Any = problem.schema
        strange = [str(key) for key in found if key not in schema["properties"]]
        more = f"; and {len(strange) - 3} more" if len(strange) > 3 else ""
        told = (f"{where}: key {show(key)} is {unknown(key, schema['properties'])}" for key in strange[:3])
        return "; ".join(told) + more
    if kind == "required":
        missing = [str(key) for key in rule if key not in found]
        return f"{where}: '{missing[0]}' is a required property; allowed is a map with {', '.join(map(str, rule))}"
    return f"{where}={show(found)}: allowed is {_allowed(kind, rule)}"


def _allowed(kind: str, rule: Any) -> str:
    if kind == "type":
        return " or ".join(_TYPES[name] for name in ([rule] if isinstance(rule, str) else rule))
    if kind == "anyOf":
        return " or ".join(_branch(branch) for branch in rule)
    value = rule.get("const", rule) if isinstance(rule, dict) else rule
    return _BOUNDS.get(kind, f"what {kind} says: {{}}").format(f"{value:,}" if isinstance(value, int) else value)


def _branch(branch: dict[str, Any]) -> str:
    if "enum" in branch:
        return ", ".join(map(str, branch["enum"]))
    bounds = (_allowed(kind, rule) for kind, rule in branch.items() if kind in _BOUNDS)
    return " ".join([_TYPES[branch["type"]], *bounds])


def _word(value: Any) -> str:
    return value if isinstance(value, str) else show(value)
