"""Reads the YAML files that users write: a file is bounded plain data or one line saying why not, whatever is in it."""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from yaml.constructor import ConstructorError

from grpc_lb_lab.model.text import acts, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES = 256 * 1024
MOST_DEPTH = 32
MOST_VALUES = 10_000
MOST_TEXT = 10_000
"""Characters of one text."""

MOST_DIGITS = 18
"""Of a whole number: what every reader of JSON and YAML holds exactly, and no machine takes long over."""

FOREIGN_BYTES = 16 * MOST_BYTES
FOREIGN_VALUES = 20 * MOST_VALUES
"""Of a file of another program: the kubeconfig of somebody with hundreds of clusters."""

MOST_MESSAGE = 200
_TAG = "tag:yaml.org,2002:"


class DocumentError(Exception):
    """A file or a value that is no bounded plain data; the message is one line and names what is allowed."""


def read(path: Path) -> Any:
    """Return what the file says: None (an empty file), bool, int, float, str, and lists and maps of them.

    Raises ``DocumentError`` for a file that is missing, unreadable, not regular, too large or not UTF-8; for YAML that
    is broken, holds several documents, tags, dates, repeated keys or keys that are no text; and as ``check``.
    """
    return parse(_read_text(path))


def parse(text: str) -> Any:
    """Return what a YAML text says; as ``read``."""
    try:
        _check_events(yaml.parse(text, Loader=_PlainLoader))
        data = yaml.load(text, Loader=_PlainLoader)
    except yaml.MarkedYAMLError as error:
        raise DocumentError(_where(error)) from error
    except yaml.YAMLError as error:  # characters that YAML does not allow
        raise DocumentError(one_line(f"{error}; allowed is YAML", MOST_MESSAGE)) from error
    except UnicodeEncodeError as error:  # half of a surrogate pair, which no file in UTF-8 can hold
        raise DocumentError(f"the character U+{ord(text[error.start]):04X}; allowed is plain text") from error
    check(data)
    return data


def read_foreign(path: Path) -> Any:
    """Return what a file of another program says, such as a kubeconfig; its words are that program's affair.

    Raises ``DocumentError`` for a file that is missing, unreadable, not regular, too large, not UTF-8 or no YAML.
    """
    text = _read_text(path, FOREIGN_BYTES)
    try:
        _check_events(yaml.parse(text, Loader=yaml.CSafeLoader), FOREIGN_VALUES)
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        raise DocumentError(_where(error)) from error
    except (yaml.YAMLError, ValueError) as error:  # a date that is none, characters that YAML does not allow
        raise DocumentError(one_line(f"{error}; allowed is YAML", MOST_MESSAGE)) from error


def check(data: Any) -> None:
    """Check data that came another way than from a file. Raises ``DocumentError`` for what is not plain or bounded."""
    for count, (where, value, depth) in enumerate(_walk(data), start=1):
        if count > MOST_VALUES:
            raise DocumentError(f"more than {MOST_VALUES:,} values; allowed are {MOST_VALUES:,}")
        if depth > MOST_DEPTH:
            raise DocumentError(f"nested deeper than {MOST_DEPTH} levels; allowed are {MOST_DEPTH}")
        problem = _problem(value)
        if problem:
            raise DocumentError(one_line(f"{where}: {problem}" if where else problem))


def _walk(data: Any) -> Iterator[tuple[str, Any, int]]:
    """Every value with its place, parents first and without recursion: whoever stops early has seen no more."""
    waiting: list[tuple[str, Any, int]] = [("", data, 0)]
    while waiting:
        where, value, depth = waiting.pop()
        yield where, value, depth
        if isinstance(value, dict):
            children = ((str(key)[:100], child) for key, child in value.items() if isinstance(key, str))
        elif isinstance(value, list):
            children = ((str(index), child) for index, child in enumerate(value))
        else:
            continue
        waiting += [(f"{where}.{name}" if where else name, child, depth + 1) for name, child in children]


def _problem(value: Any) -> str:
    """Say why one value is not plain; empty when it is. What it holds is not looked at."""
    if isinstance(value, dict):
        return next((_key_problem(key) for key in value if _key_problem(key)), "")
    if value is None or isinstance(value, bool | list):
        return ""
    if isinstance(value, int):
        return "" if abs(value) < 10**MOST_DIGITS else f"a number of more than {MOST_DIGITS} digits; allowed are fewer"
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"{value}; allowed is a finite number"
    if isinstance(value, str):
        return _text_problem(value)
    return f"a {type(value).__name__}; allowed are texts, numbers, true, false, lists and maps"


def _key_problem(key: Any) -> str:
    if not isinstance(key, str):
        return f"a key that is a {type(key).__name__}; allowed are texts"
    problem = _text_problem(key)
    return f"a key has {problem}" if problem else ""


def _text_problem(text: str) -> str:
    if len(text) > MOST_TEXT:
        return f"a text of {len(text):,} characters; allowed are {MOST_TEXT:,}"
    strange = "" if text.isprintable() else next((c for c in text if acts(c) and c not in "\n\t"), "")
    return (
        f"the control character U+{ord(strange):04X} in {one_line(text, 60)}; allowed is plain text" if strange else ""
    )


def _read_text(path: Path, most_bytes: int = MOST_BYTES) -> str:
    try:
        # Looked at before it is opened: to open a device may already do something.
        kind = path.stat().st_mode
        if not stat.S_ISREG(kind):
            raise DocumentError(f"{_kind(kind)}; allowed is a regular file")
        # Without O_NONBLOCK a FIFO that took its place meanwhile would be waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            data = file.read(most_bytes + 1) or b""
    except OSError as error:
        raise DocumentError(f"{error.strerror}; allowed is a file that can be read") from error
    if len(data) > most_bytes:
        raise DocumentError(f"larger than {most_bytes // 1024} KiB; allowed are {most_bytes // 1024} KiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(f"not UTF-8 at byte {error.start + 1:,}; allowed is UTF-8") from error


def _kind(mode: int) -> str:
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a FIFO", stat.S_ISSOCK: "a socket"}
    return next((words for is_kind, words in kinds.items() if is_kind(mode)), "a device")


@dataclass
class _Open:
    """A collection that has not ended: how many values it holds so far, and how deep they are nested."""

    anchor: str | None
    values: int = 1
    height: int = 0


def _check_events(events: Iterator[Any], most_values: int = MOST_VALUES) -> None:
    """Bound what is to come before anything is built from it: aliases are counted as often as they are used."""
    stack = [_Open(None)]
    known: dict[str, _Open] = {}
    documents = 0
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise DocumentError("several documents; allowed is one, without a further line ---")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in known:  # also one that is inside of what it stands for
                raise DocumentError(
                    f"the alias *{one_line(str(event.anchor), 40)} stands for nothing; allowed is an anchor before it"
                )
            _add(stack[-1], known[event.anchor])
        elif isinstance(event, yaml.ScalarEvent):
            _refuse_tag(event)
            _close(_Open(event.anchor), stack, known)
        elif isinstance(event, yaml.CollectionStartEvent):
            _refuse_tag(event)
            stack.append(_Open(event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            _close(stack.pop(), stack, known)
        if len(stack) + stack[-1].height > MOST_DEPTH:
            raise DocumentError(f"nested deeper than {MOST_DEPTH} levels; allowed are {MOST_DEPTH}")
        if sum(part.values for part in stack) > most_values:
            raise DocumentError(f"more than {most_values:,} values; allowed are {most_values:,}")


def _close(ended: _Open, stack: list[_Open], known: dict[str, _Open]) -> None:
    if ended.anchor is not None:
        known[ended.anchor] = ended
    _add(stack[-1], ended)


def _add(parent: _Open, child: _Open) -> None:
    parent.values += child.values
    parent.height = max(parent.height, child.height + 1)


def _refuse_tag(event: Any) -> None:
    if event.tag is not None:
        raise DocumentError(
            f"line {event.start_mark.line + 1}: the tag {one_line(event.tag, 60)}; allowed is YAML without tags"
        )


def _where(error: Any) -> str:
    """The first line that is wrong and why."""
    mark, words = error.problem_mark or error.context_mark, error.problem or error.context
    allowed = "" if isinstance(error, _NodeError) else "; allowed is YAML"
    return one_line(f"{f'line {mark.line + 1}: ' if mark else ''}{words}{allowed}", MOST_MESSAGE)


class _NodeError(ConstructorError):
    """YAML that is no plain data; the words say what is allowed."""


class _PlainLoader(yaml.CSafeLoader):
    """Builds plain data and changes nothing in silence; its errors know their line."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Build a map of texts to values. What ``<<`` brings may be told anew, each other key stands there once."""
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else []:
            if key.tag not in (_TAG + "str", _TAG + "merge"):
                shown = one_line(key.value, 40) if isinstance(key, yaml.ScalarNode) else "in brackets"
                raise _refusal(key, f"the key {shown} is no text; allowed are texts, such as '{shown}' in quotes")
            if key.value in seen:
                raise _refusal(key, f"the key {one_line(key.value, 40)} stands there twice; allowed is once")
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def _build_number(self, node: Any) -> Any:
        # 1:30 would be 90, in silence.
        if len(node.value) > MOST_DIGITS + 22 or ":" in node.value:
            raise _refusal(node, f"the number {one_line(node.value, 40)}; allowed are at most {MOST_DIGITS} digits")
        build = self.construct_yaml_int if node.tag == _TAG + "int" else self.construct_yaml_float
        try:
            return build(node)
        except ValueError as error:  # 0x_
            raise _refusal(node, f"{one_line(node.value, 40)} is no number; allowed are digits") from error

    def _refuse(self, node: Any) -> Any:
        kind = {"timestamp": "date"}.get(node.tag.removeprefix(_TAG), "special word of YAML")
        shown = one_line(str(node.value), 40)
        raise _refusal(node, f"{shown} is a {kind}; allowed is '{shown}' in quotes, a text")


_PlainLoader.add_constructor(_TAG + "int", _PlainLoader._build_number)
_PlainLoader.add_constructor(_TAG + "float", _PlainLoader._build_number)
_PlainLoader.add_constructor(_TAG + "timestamp", _PlainLoader._refuse)
_PlainLoader.add_constructor(None, _PlainLoader._refuse)


def _refusal(node: Any, words: str) -> _NodeError:
    return _NodeError(None, None, words, node.start_mark)
