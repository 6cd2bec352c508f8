"""Dataclasses to JSON data and back."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, Self


class InWords(abc.ABC):
    """A dataclass that is written down in the words that it was read from, not field by field."""

    words: dict[str, Any]

    @classmethod
    @abc.abstractmethod
    def parse(cls, words: dict[str, Any]) -> Self:
        """Read the words. Raises ``ValueError``."""


def to_dict(value: Any) -> Any:
    """Turn dataclasses into plain JSON data."""
    if isinstance(value, InWords):
        return value.words
    if dataclasses.is_dataclass(value):
        return {item.name: to_dict(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: to_dict(entry) for key, entry in value.items()}
    return [to_dict(entry) for entry in value] if isinstance(value, list | tuple) else value


def from_dict[T](cls: type[T], data: dict[str, Any]) -> T:
    """Build the dataclass ``cls`` from JSON data, nested ones too.

    Unknown keys are ignored, so an older reader accepts a newer writer. Raises ``ValueError`` naming a missing key.
    """
    hints = _hints(cls)
    values: dict[str, Any] = {}
    for item in dataclasses.fields(cls):  # type: ignore[arg-type]
        if item.name in data:
            values[item.name] = _convert(hints[item.name], data[item.name])
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise ValueError(f"{cls.__name__}: key {item.name!r} is missing")
    return cls(**values)


def _hints(cls: type) -> dict[str, Any]:
    import typing

    return typing.get_type_hints(cls)


def _convert(hint: Any, value: Any) -> Any:
    import types
    import typing

    if value is None:
        return None
    if isinstance(hint, type) and issubclass(hint, InWords):
        return hint.parse(value)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return from_dict(typing.cast("type", hint), value)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is list and arguments and dataclasses.is_dataclass(arguments[0]):
        return [from_dict(typing.cast("type", arguments[0]), entry) for entry in value]
    if origin is dict and dataclasses.is_dataclass(arguments[1]):
        return {key: from_dict(typing.cast("type", arguments[1]), entry) for key, entry in value.items()}
    if origin is types.UnionType:  # ``X | None``, and None is dealt with
        return _convert(arguments[0], value)
    return value
