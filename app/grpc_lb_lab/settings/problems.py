"""A problem of the settings: one line that tells what is wrong, and what is allowed instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from grpc_lb_lab.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Problem(str):
    """The line, whose parts are known: the ``variable`` that it begins with, what is ``wrong``, what is ``allowed``.

    Without a variable the line is ``wrong`` alone, and without ``allowed`` nothing is said of that.
    """

    __slots__ = ("allowed", "variable", "wrong")

    variable: str
    wrong: str
    allowed: str

    def __new__(cls, wrong: str, allowed: str = "", *, variable: str = "") -> Self:
        """Make the line of its parts."""
        told = f"{variable}={wrong}" if variable else wrong
        self = super().__new__(cls, f"{told}. Allowed: {allowed}" if allowed else told)
        self.variable, self.wrong, self.allowed = variable, wrong, allowed
        return self

    def of(self, variable: str) -> Problem:
        """The same problem of another variable."""
        return Problem(self.wrong, self.allowed, variable=variable)

    @property
    def short(self) -> Problem:
        """The line without what is allowed."""
        return Problem(self.wrong, variable=self.variable)


class SettingsError(UsageError):
    """Settings that cannot be used; ``problems`` are its lines."""

    def __init__(self, problems: Iterable[str]) -> None:
        """Tell each problem once; one that is several lines is several."""
        lines = (line for problem in problems for line in _lines(problem))
        self.problems = list(dict.fromkeys(lines))
        super().__init__("\n".join(self.problems))


def _lines(problem: str) -> list[Problem]:
    return [problem] if isinstance(problem, Problem) else [Problem(line) for line in problem.splitlines()]
