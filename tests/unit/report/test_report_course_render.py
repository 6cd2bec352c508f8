"""The views of a scenario: terminal, Markdown, page, summary tables, JUnit, comparison."""

from __future__ import annotations

import dataclasses
import json
import re
import xml.etree.ElementTree as ElementTree

import course_factory as acted
import pytest
import report_factory as made
from grpc_lb_lab.judge.scenario.repeats import Spread, scenario_ranges, spread_words
from grpc_lb_lab.views import diff
from grpc_lb_lab.views.bundle import CellFiles
from grpc_lb_lab.views.render.html import render_html, render_index
from grpc_lb_lab.views.render.json import render_json
from grpc_lb_lab.views.render.junit import render_junit
from grpc_lb_lab.views.render.markdown import render_markdown
from grpc_lb_lab.views.render.scenario import timeline_lines
from grpc_lb_lab.views.render.scenario_table import scenario_tables
from grpc_lb_lab.views.render.summary_markdown import render_summary_markdown
from grpc_lb_lab.views.render.terminal import render_terminal
from grpc_lb_lab.views.repeats import describe_repeats
from grpc_lb_lab.views.summary import summarize_cells

RUNS = {"up": lambda: acted.scale_up(2.4), "trap": acted.replaced, "kill": acted.killed, "hang": acted.hung}


def parsed(report):
    return json.loads(render_json(report))


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", RUNS)
def test_terminal_keeps_to_its_columns(name, width):
    report = RUNS[name]()
    assert max(map(len, render_terminal(report, width=width).splitlines())) <= width
    assert render_terminal(report, width=width, unicode=False).isascii()


def test_terminal_shows_idle_replicas_events_and_figures():
    text = render_terminal(acted.scale_up(None), width=80)
    idle = next(line for line in text.splitlines() if line.startswith("echo-6"))
    assert re.search(r"^echo-6    0    0\.0 %  +·{20,}$", idle)
    assert "─1─" in text
    assert "events     1 at 5 s scale 5 → 7 replicas" in text
    assert "share      not every ready replica had its share again within the run" in text
    assert "first call never" in text
    assert "PASS: skewed, as expected" in text


def test_terminal_shows_failed_calls_where_they_were():
    lines = {start.split()[0]: chart for start, chart, _ in timeline_lines(acted.replaced(), 80)}
    failed = lines["failed"]
    begin, end = len(failed) - len(failed.lstrip()), len(failed.rstrip())
    assert begin / len(failed) == pytest.approx(7 / 20, abs=0.03)
    assert end / len(failed) == pytest.approx(13 / 20, abs=0.03)
    assert lines["0"].index("1") / len(failed) == pytest.approx(5 / 20, abs=0.03)
    assert not lines["echo-0"][end:].strip()
    assert lines["echo-3"][begin + 1 : end - 1].strip() == "·" * (end - begin - 2)


def test_many_replicas_are_cut_in_the_middle():
    world = acted.World(dict.fromkeys(range(40), (0.0, None)), events=[acted.command("kill echo-1")])
    report = acted.report(
        world, acted.client(world, acted.in_turn(world.at)), acted.course("slow", "even", which="first"), replicas=40
    )
    text = render_terminal(report, width=80)
    assert "… 24 more replicas" in text
    assert len([line for line in text.splitlines() if line.startswith("echo-")]) == 16


def test_a_missed_figure_is_in_the_verdict():
    late = render_terminal(acted.scale_up(9.0), width=80)
    assert "FAIL: even, as expected, but shares were not" in late
    assert "FAIL: even, as expected, but errors were not" in render_terminal(acted.killed(errors="none"))


def test_markdown_has_checks_timeline_and_clocks():
    text = render_markdown(acted.scale_up(9.0))
    assert "| share | within 6 s | after 9.06 s | ❌ |" in text
    assert "| echo-6 | 1.10 | 1.60 | 1.62 | 1.70 | 9.06 |" in text
    block = text.split("```")[1]
    assert block.startswith("text\n")
    assert "echo-6" in block


def test_page_shows_the_scenario_and_escapes_what_it_is_told():
    world = acted.two_more()
    evil = dataclasses.replace(world, events=[acted.command("<script>alert(1)</script>")])
    report = acted.report(evil, acted.client(evil, acted.in_turn(evil.at)), acted.course("scale", "even", by=2))
    page = render_html(report)
    assert "<script>" not in page
    assert "Title of scale: what happened" in page
    assert "The clocks of 2 new replicas" in page
    assert page.count("<svg") == 3
    assert "shares back after" in page


def test_page_of_a_failed_scenario_says_what_was_missed():
    page = render_html(acted.killed(errors="none"))
    assert re.search(r'<tr class="fail"><th scope="row">failed calls</th><td>none</td>', page)
    assert "from the first to the last of 2 failed calls" in page


def test_steady_pages_know_nothing_of_it():
    report = made.headless([200] * 5)
    assert "Shares back" not in render_html(report)
    assert "share " not in render_terminal(report)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([2.1, 3.0, 2.4], "2.1 / 2.4 / 3 s"),
        ([None, None], "never"),
        ([2.0, None, None], "2 / never / never"),
        ([2.0, None], "2 / never / never"),
        ([0.0], "0 s"),
    ],
)
def test_never_is_later_than_any_time(values, words):
    reports = []
    for value in values:
        data = parsed(acted.killed())
        data["course"]["share_returned_s"] = value
        reports.append(data)
    assert spread_words(scenario_ranges(reports).share_returned_s) == words


def cells(*runs):
    """Strategy, its reports."""
    return [
        CellFiles(f"{name}/{reports[0].run.scenario}", {index: parsed(one) for index, one in enumerate(reports, 1)})
        for name, reports in runs
    ]


def summary():
    return summarize_cells(
        "run",
        cells(
            ("headless", [acted.scale_up(None)]),
            ("fresh", [acted.scale_up(noticed) for noticed in (2.4, 1.7, 5.0)]),
            ("fresh", [acted.killed(errors="none")]),
        ),
    )


def test_tables_of_the_two_figures():
    shares, errors = scenario_tables(summary().cells)
    assert shares.scenarios == ["kill", "scale-up"]
    words = {name: [entry and entry.words for entry in entries] for name, entries in shares.rows}
    assert words == {"fresh": ["2.01 s", "1.71 / 2.41 / 5.06 s"], "headless": [None, "never"]}
    assert [[entry and entry.words for entry in entries] for _, entries in errors.rows] == [
        ["0.03 s", "0 s"], [None, "0 s"],
    ]  # fmt: skip
    assert errors.rows[0][1][0].more == "2 failed, 2 under way"
    assert scenario_tables([cell for cell in summary().cells if not cell.course]) == []


def test_summary_views_have_the_tables():
    text = render_summary_markdown(summary())
    assert "| strategy | kill | scale-up |" in text
    assert "| fresh | 2.01 s ❌ | 1.71 / 2.41 / 5.06 s |" in text
    page = render_index(summary())
    assert "When things change" in page
    assert "1.71 / 2.41 / 5.06 s" in page
    steady = summarize_cells("run", [CellFiles("a/steady", {0: parsed(made.headless([200] * 5))})])
    assert "When things change" not in render_index(steady)
    assert "minimum / median" not in render_summary_markdown(steady)


def test_junit_tells_the_figures():
    root = ElementTree.fromstring(render_junit(summary()).split("\n", 1)[1])
    cases = {(case.get("classname"), case.get("name")): case for case in root.iter("testcase")}
    case = cases["grpc-lb-lab.scale-up", "fresh"]
    assert "shares back 1.71 / 2.41 / 5.06 s, errors for 0 s (3 repeats)" in case.find("system-out").text
    failed = cases["grpc-lb-lab.kill", "fresh"].find("failure")
    assert "but errors were not" in failed.text


def test_repeats_keep_the_phase_of_each():
    repeats = describe_repeats({1: parsed(acted.scale_up(2.4)), 2: None, 3: parsed(acted.scale_up(5.0))})
    assert [row.course and row.course.phase_s for row in repeats.rows] == [5.0, None, 5.0]
    assert repeats.course.share_returned_s.max == pytest.approx(5.06, abs=0.01)
    report = dataclasses.replace(acted.scale_up(2.4), repeats=repeats)
    assert "first event at" in render_html(report)


@pytest.mark.parametrize(
    ("one", "two", "repeated", "moved"),
    [
        ((2, 2.4, 3), (2.2, 2.6, 3.1), True, False),
        ((2, 2.4, 3), (8, 9, 10), True, True),
        ((2, 2.4, 3), (3.1, 3.3, 3.5), True, False),  # less than a second
        ((2, 2, 2), (None, None, None), False, True),
        ((None, None, None), (None, None, None), True, False),
        ((5, 5, 5), (9, 9, 9), False, False),  # less than twice, once each
        ((0, 0, 0), (9, 9, 9), False, True),
    ],
)
def test_comparison_of_seconds(one, two, repeated, moved):
    assert diff.scenario_moved(Spread(*one), Spread(*two), repeated=repeated) is moved


def test_comparison_names_what_moved():
    before = summarize_cells("before", cells(("headless", [acted.scale_up(None)])))
    after = summarize_cells("after", cells(("headless", [acted.scale_up(2.4)])))
    changes = {change.what: change for change in diff.compare(before, after).changes}
    assert (changes["shares back"].before, changes["shares back"].after, changes["shares back"].better) == (
        "never", "2.41 s", True,
    )  # fmt: skip
    assert "error window" not in changes
