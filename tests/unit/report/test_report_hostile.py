"""Control characters and marks that turn text around reach no page, no terminal and no file that somebody shows."""

from __future__ import annotations

import dataclasses
import json
import xml.etree.ElementTree as ElementTree

import pytest
import report_factory as made
from grpc_lb_lab.judge.build import build_report
from grpc_lb_lab.model import live_feed
from grpc_lb_lab.model.data import to_dict
from grpc_lb_lab.model.inventory import Event
from grpc_lb_lab.model.text import acts
from grpc_lb_lab.views.bundle import CellFiles
from grpc_lb_lab.views.live.frame import plain_line, render_frame
from grpc_lb_lab.views.live.html import view_json
from grpc_lb_lab.views.live.state import LiveState
from grpc_lb_lab.views.live.view import make_view
from grpc_lb_lab.views.render.csv import render_csv
from grpc_lb_lab.views.render.html import render_html, render_index
from grpc_lb_lab.views.render.json import dump, render_json
from grpc_lb_lab.views.render.junit import render_junit
from grpc_lb_lab.views.render.markdown import render_markdown
from grpc_lb_lab.views.render.summary_markdown import render_summary_markdown
from grpc_lb_lab.views.render.summary_terminal import render_summary_terminal
from grpc_lb_lab.views.render.terminal import render_terminal
from grpc_lb_lab.views.shown import shown
from grpc_lb_lab.views.summary import summarize_cells

EVIL = "a\x1b[2J\x00\x07\x7f\x9b31m\u202e\u2066\u2028\r\nb"


def evil_report():
    words = dict.fromkeys(("title", "shows", "advice", "name"), EVIL)
    plan = dataclasses.replace(made.plan(requests=1000, strategy=words), scenario=EVIL, run=EVIL)
    known = made.inventory(versions={EVIL: EVIL}, notes=[EVIL], events=[Event(made.START + 0.1, EVIL, EVIL)])
    known = dataclasses.replace(
        known, cluster=EVIL, replicas=[dataclasses.replace(one, pod=f"{EVIL}{one.pod}") for one in known.replicas]
    )
    return build_report(plan, known, [made.client([[200] * 5])])


def evil_summary():
    data = json.loads(json.dumps(to_dict(evil_report())))
    data["verdict"] |= {"cause": EVIL, "expected": EVIL, "status": "fail"}
    return summarize_cells(EVIL, [CellFiles(f"{EVIL}/{EVIL}", {0: data}), CellFiles("x/steady", {0: None}, error=EVIL)])


def evil_view():
    state = LiveState()
    for line in (
        live_feed.RunLine(100.0, EVIL, EVIL, EVIL, EVIL, EVIL, 1, 3, requests=100, scenario_title=EVIL),
        live_feed.ReplicasLine(100.0, [EVIL]),
        live_feed.EventLine(100.5, EVIL, EVIL, EVIL),
        live_feed.ClientLine(101.0, 0, 100.0, 10, 5, 5, per={EVIL: 5}, errors={EVIL: 5}),
        live_feed.EndLine(101.0, EVIL),
    ):
        state.take(live_feed.render(line))
    return make_view(state, 101.0)


VIEWS = {
    "report.json": lambda: render_json(evil_report()),
    "report.csv": lambda: render_csv(shown(evil_report())),
    "report.md": lambda: render_markdown(shown(evil_report())),
    "report.html": lambda: render_html(shown(evil_report())),
    "report on a terminal": lambda: render_terminal(shown(evil_report())),
    "index.html": lambda: render_index(shown(evil_summary())),
    "summary.json": lambda: dump(to_dict(evil_summary())),
    "summary.md": lambda: render_summary_markdown(shown(evil_summary())),
    "junit.xml": lambda: render_junit(shown(evil_summary())),
    "summary on a terminal": lambda: render_summary_terminal(shown(evil_summary())),
    "watch on a terminal": lambda: render_frame(evil_view()).plain,
    "watch in a pipe": lambda: plain_line(evil_view()),
    "watch on a page": lambda: "\n".join(texts(json.loads(view_json(evil_view())))),
}


def texts(data):
    if isinstance(data, dict):
        return [text for pair in data.items() for one in pair for text in texts(one)]
    return [text for one in data for text in texts(one)] if isinstance(data, list) else [str(data)]


@pytest.mark.parametrize("name", VIEWS)
def test_nothing_of_it_acts(name):
    found = {f"U+{ord(character):04X}" for character in VIEWS[name]() if acts(character) and character != "\n"}
    assert found == set()


def test_json_still_says_what_was_there():
    assert json.loads(render_json(evil_report()))["strategy"]["title"] == EVIL


def test_junit_is_xml_whatever_is_in_it():
    root = ElementTree.fromstring(VIEWS["junit.xml"]())
    assert len(list(root.iter("testcase"))) == 2
