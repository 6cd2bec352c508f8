"""The views as text: golden snippets, width, escaping, many replicas, none."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from html.parser import HTMLParser

import pytest
import report_factory as made
from grpc_lb_lab.judge.build import build_report
from grpc_lb_lab.model.data import to_dict
from grpc_lb_lab.model.inventory import Event
from grpc_lb_lab.views.render.csv import HEADER, render_csv
from grpc_lb_lab.views.render.html import render_html, render_index
from grpc_lb_lab.views.render.json import render_json
from grpc_lb_lab.views.render.markdown import escape, render_markdown
from grpc_lb_lab.views.render.summary_markdown import MAX_LENGTH, render_summary_markdown
from grpc_lb_lab.views.render.terminal import render_terminal
from grpc_lb_lab.views.summary import summarize

CONTRACT = {
    "run": {"id", "strategy", "scenario", "cluster", "started_at", "seed", "versions"},
    "requested": {"requests", "duration_s", "rate_rps", "concurrency", "replicas", "clients", "connections"},
    "actual": {"requests", "ok", "failed", "duration_s", "rps"},
    "distribution": {
        "replicas", "servers_hit", "expected_per_server", "variance", "stddev", "cv", "jain", "chi_square_p",
    },
    "latency_ms": {"mean", "p50", "p90", "p99", "p999", "max"},
    "connections": {"client", "server", "requests_per_connection"},
    "path": {"hops", "server_saw_peers", "proven"},
    "reconciliation": {"client_calls", "server_attempts", "proxy_requests", "explained"},
    "timeline": {"interval_s", "buckets"},
    "verdict": {"status", "expected", "observed", "balanced", "cause"},
}  # fmt: skip
BACKEND = {"pod", "uid", "ip", "requests", "share", "first_seen_s", "last_seen_s"}

EVIL = "<script>alert(1)</script>|`*_[x](y)\x1b[31m\n# boo"


@pytest.fixture
def evil():
    """Every text that comes from outside is hostile."""
    plan = made.plan(requests=1000, strategy={"title": EVIL, "shows": EVIL, "advice": EVIL, "name": EVIL})
    known = made.inventory(versions={EVIL: EVIL}, notes=[EVIL], events=[Event(made.START + 0.1, EVIL, EVIL)])
    known = dataclasses.replace(known, replicas=[dataclasses.replace(known.replicas[0], pod=EVIL), *known.replicas[1:]])
    return build_report(plan, known, [made.client([[200] * 5])])


@pytest.fixture
def nothing():
    """No call was answered."""
    return build_report(
        made.plan(requests=3), made.inventory(), [made.client([[0] * 5], failed={"UNAVAILABLE": 3}, timeline=[])]
    )


def every_view(report):
    return [
        render_json(report),
        render_csv(report),
        render_markdown(report),
        render_html(report),
        render_terminal(report),
    ]


def test_json_has_the_keys_of_the_contract():
    data = json.loads(render_json(made.through_envoy([200] * 5)))
    assert data["schema_version"] == 1
    for name, keys in CONTRACT.items():
        assert keys <= data[name].keys(), name
    assert {"backends", "errors", "events"} <= data.keys()
    assert all(backend.keys() >= BACKEND for backend in data["backends"])
    assert all({"t_s", "ok", "failed", "per_backend"} <= bucket.keys() for bucket in data["timeline"]["buckets"])
    assert data["reconciliation"] == data["reconciliation"] | {"client_calls": 1000, "proxy_requests": 1000}
    assert data["run"]["started_at"] == "2026-09-21T14:13:20.050Z"
    assert list(data) == sorted(data)


def test_json_numbers():
    data = json.loads(render_json(made.service([0, 0, 1000, 0, 0])))
    assert [backend["requests"] for backend in data["backends"]] == [0, 0, 1000, 0, 0]
    assert data["backends"][0]["first_seen_s"] is None
    assert data["backends"][2]["first_seen_s"] == pytest.approx(0.01)
    assert data["backends"][2]["share"] == 1
    assert data["connections"]["requests_per_connection"] == 1000
    assert data["actual"] == data["actual"] | {"requests": 1000, "ok": 1000, "duration_s": 0.5, "rps": 2000}
    assert sum(bucket["ok"] for bucket in data["timeline"]["buckets"]) == 1000
    assert data["timeline"]["buckets"][0]["per_backend"] == {"echo-2": 500}


def test_every_view_is_deterministic():
    assert every_view(made.through_envoy([200] * 5)) == every_view(made.through_envoy([200] * 5))


TERMINAL = """\
service · steady · local · Title of service

echo-0      0    0.0 %
echo-1      0    0.0 %
echo-2  1,000  100.0 %  ██████████████████████████████████████████████████
echo-3      0    0.0 %
echo-4      0    0.0 %

spread     servers hit 1 of 5, expected per server 200, variance 160,000
calls      1,000 ok, 0 failed in 0.50 s (2,000 calls/s)
errors     none
latency    p50 0.71 ms, p90 0.96 ms, p99 1.02 ms, max 1.02 ms
path       client → service → server (proven)
counted    1,000 client calls = 1,000 server attempts

PASS: pinned, as expected
All 1,000 calls went to one of 5 replicas: the name resolved to one address, so
one HTTP/2 connection carried them all.
"""


def test_terminal():
    assert render_terminal(made.service([0, 0, 1000, 0, 0])) == TERMINAL


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("replicas", [1, 5, 16, 17, 60, 200])
def test_terminal_fits(width, replicas):
    text = render_terminal(made.headless([100] * replicas), width=width)
    assert max(len(line) for line in text.splitlines()) <= width
    if replicas == 5 and width >= 80:
        assert text.count("\n") <= 22
    shown = len(re.findall(r"^echo-", text, re.MULTILINE))
    assert shown == (replicas if replicas <= 16 else 8)


def test_terminal_shows_both_ends_of_many_replicas():
    counts = [100 + index for index in range(60)]
    text = render_terminal(made.headless(counts))
    lines = [line for line in text.splitlines() if line.startswith(("echo-", "…"))]
    assert [line.split()[0] for line in lines] == [
        "echo-59", "echo-58", "echo-57", "echo-56", "…", "echo-3", "echo-2", "echo-1", "echo-0",
    ]  # fmt: skip
    assert lines[4] == "… 52 more replicas, 104 to 155 calls each"


def test_terminal_ends_with_verdict_and_cause_in_every_state(nothing):
    for report in (made.through_envoy([200] * 5), made.through_envoy([200] * 5, via=""), nothing):
        tail = render_terminal(report).split("\n\n")[-1]
        assert tail.split(":")[0] == report.verdict.status.upper()
        assert " ".join(tail.split("\n", 1)[1].split()) == report.verdict.cause


def test_terminal_colour_is_only_an_addition():
    report = made.service([0, 0, 1000, 0, 0])
    coloured = render_terminal(report, colour=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == re.sub(r"\x1b\[[0-9;]*m", "", TERMINAL)
    assert render_terminal(report, unicode=False).isascii()


def test_terminal_marks_replicas_that_are_unready_or_unknown():
    known = made.inventory(4)
    unready = [dataclasses.replace(replica, ready=replica.pod != "echo-1") for replica in known.replicas]
    report = build_report(
        made.plan(), dataclasses.replace(known, replicas=unready), [made.client([[250, 0, 250, 250, 250]])]
    )
    text = render_terminal(report)
    assert re.search(r"^echo-1 .*not ready$", text, re.MULTILINE)
    assert re.search(r"^echo-4 .*█ not in the inventory$", text, re.MULTILINE)


def test_markdown():
    text = render_markdown(made.through_envoy([200] * 5))
    assert text.startswith(
        "# envoy · steady · local\n\nWhat it shows.\n\n**PASS: even, as expected.** The 5 replicas got"
    )
    assert "| echo-4 | 200 | 20.0 % | ████████████████████ |\n" in text
    assert "| servers hit | 5 of 5 |\n" in text
    assert "| path | client → envoy-client → server (proven) |\n" in text
    assert "| echo-0 | 0 | 0.0 % |  |\n" in render_markdown(made.service([0, 0, 1000, 0, 0]))


def test_markdown_escape():
    assert escape("a|b<c>\n*d* _e_ f_g") == "a\\|b&lt;c&gt; \\*d\\* \\_e\\_ f_g"


def test_csv_reads_back():
    report = made.service([0, 0, 1000, 0, 0])
    rows = list(csv.DictReader(io.StringIO(render_csv(report))))
    assert list(rows[0]) == HEADER
    assert [int(row["requests"]) for row in rows] == [0, 0, 1000, 0, 0]
    assert rows[0]["first_seen_s"] == ""
    assert {(row["expected"], row["observed"], row["status"]) for row in rows} == {("pinned", "pinned", "pass")}


def test_csv_keeps_odd_names_in_their_cell():
    report = made.headless([200] * 5)
    odd = dataclasses.replace(report.backends[0], pod='=1+1,"x"\ny')
    rows = list(csv.reader(io.StringIO(render_csv(dataclasses.replace(report, backends=[odd])))))
    assert len(rows) == 2
    assert rows[1][4] == '\'=1+1,"x"\ny'


class Page(HTMLParser):
    """Collects what a browser would act on; complains about tags that do not match."""

    VOID = frozenset({"meta", "line", "br"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.open = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_stands_alone():
    text = render_html(made.through_envoy([200] * 5))
    page = Page(text)
    assert page.links == []
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert "http:" not in text
    assert "https:" not in text
    assert "prefers-color-scheme: dark" in text
    assert 'lang="en"' in text
    assert page.tags.count("svg") == 2
    for words in ("PASS: even, as expected", "The 5 replicas got 200 calls each", "Envoy beside the client", "1,000"):
        assert words in text


def test_html_bars_are_relative_to_the_busiest():
    text = render_html(made.headless([100, 50, 0, 100, 100]))
    assert re.findall(r'class="fill" style="width: ([\d.]+)%"', text) == ["100.00", "50.00", "0.00", "100.00", "100.00"]
    assert 'class="due" style="left: 70.00%"' in text


def test_html_of_many_replicas_and_of_none(nothing):
    many = render_html(made.headless([100] * 60))
    assert many.count('class="fill"') == 60
    assert len(many) < 100_000
    Page(many)
    assert "latency-title" not in render_html(nothing)
    Page(render_html(nothing))


def test_hostile_text_stays_text(evil):
    page = render_html(evil)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    Page(page)
    markdown = render_markdown(evil)
    assert "<script" not in markdown
    assert "\x1b" not in markdown
    assert "\n# boo" not in markdown
    terminal = render_terminal(evil)
    assert "\x1b" not in terminal
    assert "\n# boo" not in terminal
    assert json.loads(render_json(evil))["strategy"]["title"] == EVIL
    assert len(list(csv.reader(io.StringIO(render_csv(evil))))) == 6


def test_views_of_a_run_without_an_answer(nothing):
    for text in every_view(nothing):
        assert "nan" not in text.lower().replace("nanos", "")
    assert json.loads(render_json(nothing))["latency_ms"]["p50"] is None
    assert "p50 –, p90 –" in render_terminal(nothing)


def data_of(report):
    return json.loads(json.dumps(to_dict(report)))


def cells():
    return {
        "baseline/steady": data_of(made.headless([1000, 0], expect="pinned"))
        | {"verdict": data_of(made.service([0, 1000]))["verdict"]},
        "envoy/steady": data_of(made.through_envoy([200] * 5)),
        "service/steady": data_of(made.service([0, 0, 1000, 0, 0])),
    }


def test_summary():
    summary = summarize("run-1", cells())
    assert (summary.status, summary.headline) == ("pass", "3 cells: 3 passed")
    assert [(cell.strategy, cell.observed, cell.overhead) for cell in summary.cells] == [
        ("baseline", "pinned", None),
        ("envoy", "even", 0.0),
        ("service", "pinned", 0.0),
    ]
    text = render_summary_markdown(summary)
    figures = "2,000 | ±0 % | 0.71 ms | 1.02 ms | 0 | 1 | 300 / 200 / –"
    row = f"| ✅ | envoy | steady | even | 5 of 5 | {figures} | What to do. |"
    assert row in text
    assert "- **service** · steady · PASS: pinned, as expected. All 1,000 calls went to one of 5 replicas" in text


def test_summary_of_failed_and_broken_cells():
    broken = summarize("run-1", cells() | {"headless/steady": None})
    assert (broken.status, broken.headline) == ("invalid", "4 cells: 3 passed, 1 invalid")
    failed = cells() | {"headless/steady": data_of(made.headless([500, 50, 100, 150, 200])), "x/steady": None}
    summary = summarize("run-1", failed)
    assert (summary.status, summary.headline) == ("fail", "5 cells: 3 passed, 1 failed, 1 invalid")
    index = render_index(summary)
    page = Page(index)
    files = [link for link in page.links if not link.startswith("#")]
    assert files == [f"{name}/steady/report.html" for name in ("baseline", "envoy", "headless", "service")]
    assert {link[1:] for link in page.links if link.startswith("#")} == set(
        re.findall(r'<article[^>]* id="([^"]+)"', index)
    )
    assert "The run broke before there was a report" in index
    assert index.count("<article") == 5


def test_summary_escapes_and_stays_short_enough_for_a_comment(evil):
    data = data_of(evil)
    data["verdict"]["cause"] = EVIL
    summary = summarize(EVIL, {f"s{index}/steady": data for index in range(60)})
    index = render_index(summary)
    assert index.count("<script") == 1  # the page's own
    assert "<script>alert" not in index
    assert "<script" not in render_summary_markdown(summary)
    data["verdict"]["cause"] = "x" * 5_000
    long = render_summary_markdown(summarize("run", {f"s{index}/steady": data for index in range(60)}))
    assert len(long) <= MAX_LENGTH + 100
    assert "more in index.html" in long
