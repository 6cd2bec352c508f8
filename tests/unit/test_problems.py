"""A problem is one line whose parts are known, whatever words they have."""

from __future__ import annotations

from grpc_lb_lab.settings.problems import Problem, SettingsError


def test_a_problem_is_its_line_and_knows_its_parts():
    problem = Problem("slow. Allowed: no. It fails", "fast", variable="strategy")
    assert problem == "strategy=slow. Allowed: no. It fails. Allowed: fast"
    assert problem.of("strategies") == "strategies=slow. Allowed: no. It fails. Allowed: fast"
    assert problem.short == "strategy=slow. Allowed: no. It fails"
    assert problem.short.of("strategies") == "strategies=slow. Allowed: no. It fails"
    assert Problem("lab_port=0: taken") == "lab_port=0: taken"


def test_an_error_tells_each_line_once():
    one, two = Problem("a", "b", variable="c"), "file.yaml: x\nfile.yaml: y"
    error = SettingsError([one, two, one])
    assert error.problems == ["c=a. Allowed: b", "file.yaml: x", "file.yaml: y"]
    assert str(error).splitlines() == error.problems
    assert [problem.variable for problem in error.problems] == ["c", "", ""]
