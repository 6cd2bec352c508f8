"""Bundles: repeats, cells that broke or never ran, JUnit XML, and CPU told honestly."""

from __future__ import annotations

import dataclasses
import json
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest
import report_factory as made
from grpc_lb_lab import cli
from grpc_lb_lab.judge.build import build_report
from grpc_lb_lab.judge.cpu import measure_cpu
from grpc_lb_lab.judge.document import Report
from grpc_lb_lab.model.data import from_dict, to_dict
from grpc_lb_lab.model.errors import ArtifactError
from grpc_lb_lab.model.files import read_as, write_text
from grpc_lb_lab.views.artifacts import write_report
from grpc_lb_lab.views.bundle import CellFiles, read_bundle
from grpc_lb_lab.views.render.charts import FAILED, timeline_chart, timeline_spans
from grpc_lb_lab.views.render.cpu import cpu_chart
from grpc_lb_lab.views.render.html import render_html, render_index
from grpc_lb_lab.views.render.junit import render_junit
from grpc_lb_lab.views.render.lines import cpu_line
from grpc_lb_lab.views.render.markdown import render_markdown
from grpc_lb_lab.views.render.summary_markdown import render_summary_markdown
from grpc_lb_lab.views.render.summary_terminal import render_summary_terminal
from grpc_lb_lab.views.render.vega import draw
from grpc_lb_lab.views.summary import Summary, summarize, summarize_cells


def paced(seconds, counts=(200, 200, 200, 200, 200), **load):
    one = made.client([list(counts)], finished_at=made.START + seconds)
    return build_report(made.plan(requests=sum(counts), **load), made.inventory(), [one])


def data_of(report):
    return json.loads(json.dumps(to_dict(report)))


def repeated(*reports, **changes):
    numbered = dict(enumerate((data_of(report) if report else None for report in reports), 1))
    return CellFiles("headless/steady", numbered, **changes)


def only(*files):
    return summarize_cells("run", list(files)).cells[0]


def test_a_report_reads_back_as_it_was(tmp_path):
    report = made.through_envoy([200] * 5)
    write_report(report, tmp_path)
    assert read_as(Report, tmp_path / "report.json") == report


def test_repeats_give_minimum_median_and_maximum():
    cell = only(repeated(paced(0.5), paced(0.4), paced(1.0)))
    rates = cell.figures["rps"]
    assert (rates.min, rates.median, rates.max) == (1000, 2000, 2500)
    assert (cell.rps, cell.repeats, cell.passed, cell.status) == (2000, 3, 3, "pass")
    assert cell.wall_s == pytest.approx(1.9)
    assert "(1,000–2,500)" in render_summary_markdown(summarize_cells("run", [repeated(paced(0.4), paced(1.0))]))


def test_one_failed_repeat_fails_the_cell_and_is_the_one_shown():
    cell = only(repeated(paced(0.5), paced(0.5, (800, 50, 50, 50, 50)), paced(0.5)))
    assert (cell.status, cell.observed, cell.passed) == ("fail", "skewed", 2)
    assert cell.cause.startswith("1 of 3 repeats failed, such as repeat 2: Calls are uneven")
    assert cell.counts[0] == 800


def test_a_repeat_without_a_report_makes_the_cell_invalid():
    cell = only(repeated(paced(0.5), None, error="Envoy did not start."))
    assert (cell.status, cell.verdict_line.split(":")[0]) == ("invalid", "INVALID")
    assert cell.cause == "1 of 2 repeats left no report (number 2). Envoy did not start."


def test_overhead_is_only_told_under_the_same_load():
    base = CellFiles("baseline/steady", {0: data_of(paced(0.5))})
    other = CellFiles("other/steady", {0: data_of(paced(1.0))})
    busy = CellFiles("busy/steady", {0: data_of(paced(1.0, concurrency=8))})
    cells = {cell.strategy: cell for cell in summarize_cells("run", [base, other, busy]).cells}
    assert cells["other"].overhead == 0.5
    assert cells["busy"].overhead is None
    assert cells["baseline"].overhead is None


def test_bundle_on_disk(tmp_path, capsys):
    run = tmp_path / "run-1"
    for number, seconds in enumerate((0.4, 0.5, 1.0), 1):
        write_report(paced(seconds), run / f"headless/steady/repeat-{number}", page=False)
    (run / "headless/steady/repeat-10/logs").mkdir(parents=True)
    write_text(run / "broken/steady/cell.json", '{"wall_s": 2.5, "error": "Port 80 is taken."}')
    write_text(run / "bundle.json", '{"cells": ["headless/steady", "istio/steady"]}')
    assert cli.main(["summary", str(run)]) == 3
    assert "3 cells: 3 invalid" in capsys.readouterr().out
    cells = {cell.strategy: cell for cell in read_as(Summary, run / "summary.json").cells}
    assert cells["headless"].cause.startswith("1 of 4 repeats left no report (number 10). The run broke")
    assert (cells["broken"].cause, cells["broken"].wall_s) == ("Port 80 is taken.", 2.5)
    assert cells["istio"].verdict_line == "INVALID: did not run"
    shown = read_as(Report, run / "headless/steady/report.json")
    assert shown.actual.rps == 2000
    assert [row.number for row in shown.repeats.rows] == [1, 2, 3, 10]
    assert {path.parent.name for path in run.rglob("report.html")} == {"steady", "repeat-1", "repeat-2", "repeat-3"}
    page = (run / "headless/steady/report.html").read_text()
    assert 'href="repeat-1/report.html"' in page
    assert 'href="repeat-10/report.html"' not in page


@pytest.mark.parametrize("text", ['{"cells": "x"}', '{"cells": ["noslash"]}', "{"])
def test_a_broken_list_of_cells_is_an_artifact_error(tmp_path, text):
    write_text(tmp_path / "bundle.json", text)
    with pytest.raises(ArtifactError, match=r"bundle\.json"):
        read_bundle(tmp_path)


def test_a_page_of_an_older_run_goes_when_it_is_left_for_later(tmp_path):
    write_report(paced(0.5), tmp_path)
    assert (tmp_path / "report.html").exists()
    write_report(paced(0.5), tmp_path, page=False)
    assert not (tmp_path / "report.html").exists()


def test_junit():
    files = [
        CellFiles("good/steady", {0: data_of(paced(0.5))}),
        CellFiles("bad/steady", {0: data_of(paced(0.5, (800, 50, 50, 50, 50)))}, wall_s=7.25),
        CellFiles("broken/steady", {0: None}, error="evil \x1b[31m <&> \x00"),
        CellFiles("never/steady", ran=False),
    ]
    text = render_junit(summarize_cells("run", files))
    root = ElementTree.fromstring(text)
    assert {name: root.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "4", "failures": "1", "errors": "2",
    }  # fmt: skip
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert cases["good"].find("failure") is None
    assert cases["good"].find("error") is None
    assert cases["bad"].get("time") == "7.250"
    assert cases["bad"].find("failure").get("message").startswith("Calls are uneven")
    assert cases["bad"].find("failure").get("type") == "even expected, skewed observed"
    assert cases["broken"].find("error").get("message") == "evil ?[31m <&> ?"
    assert "did not run" in cases["never"].find("error").get("message")
    assert cases["bad"].get("classname") == "grpc-lb-lab.steady"


def test_a_cell_that_was_only_measured_spoils_nothing():
    plan = made.plan(strategy={"expect": {}}, requests=1000)
    measured = build_report(plan, made.inventory(), [made.client([[1000, 0, 0, 0, 0]])])
    alone = summarize("run", {"mine/steady": data_of(measured)})
    assert (alone.status, alone.headline) == ("observed", "1 cell: 1 observed")
    both = summarize("run", {"mine/steady": data_of(measured), "envoy/steady": data_of(made.through_envoy([200] * 5))})
    assert (both.status, both.headline) == ("pass", "2 cells: 1 passed, 1 observed")
    suite = ElementTree.fromstring(render_junit(both))
    assert (suite.attrib["failures"], suite.attrib["errors"]) == ("0", "0")
    assert "| 👁️ | mine | steady | pinned | 1 of 5 |" in render_summary_markdown(both)
    assert "OBSERVED: pinned (nothing was expected)" in render_summary_terminal(both)
    assert "instead of" not in render_index(both)


def test_summary_markdown_puts_what_failed_first():
    files = [
        CellFiles("a-good/steady", {0: data_of(paced(0.5))}),
        CellFiles("z-bad/steady", {0: data_of(paced(0.5, (800, 50, 50, 50, 50)))}),
    ]
    text = render_summary_markdown(summarize_cells("run", files))
    assert text.index("❌ **z-bad**") < text.index("| ❌ | z-bad") < text.index("| ✅ | a-good")
    assert "skewed, not even" in text


def test_the_terminal_says_why_a_cell_did_not_pass():
    files = [
        CellFiles("a-good/steady", {0: data_of(paced(0.5))}),
        CellFiles("broken/steady", {0: None}, error="evil \x1b[31m " + "very " * 100),
        CellFiles("z-bad/steady", {0: data_of(paced(0.5, (800, 50, 50, 50, 50)))}),
    ]
    summary = summarize_cells("run", files)
    plain = render_summary_terminal(summary)
    assert plain.splitlines()[0] == summary.headline == "3 cells: 1 passed, 1 failed, 1 invalid"
    assert "\x1b" not in plain
    assert max(map(len, plain.splitlines())) <= 80
    assert "  a-good               steady       PASS: even, as expected\n  broken" in plain
    assert plain.count("very") < 60
    assert plain.splitlines()[-2].startswith("    ")
    coloured = render_summary_terminal(summary, colour=True)
    assert "\x1b[1;31mFAIL: expected even, observed skewed\x1b[0m" in coloured
    assert "\x1b[1;33mINVALID: no report\x1b[0m" in coloured
    assert "\x1b[1;32mPASS: even, as expected\x1b[0m" in coloured


def test_every_load_is_told_with_the_cells_that_had_it():
    def cell(place, **load):
        data = data_of(paced(0.5))
        return CellFiles(place, {0: data | {"requested": data["requested"] | load}})

    files = [cell("envoy/steady"), cell("headless/steady"), cell("pool/steady", concurrency=50)]
    changing = {"requests": None, "duration_s": 66, "rate_rps": 100}
    files += [
        cell(f"{strategy}/{scenario}", **changing)
        for strategy in ("envoy", "headless")
        for scenario in ("kill", "hang")
    ]
    summary = summarize_cells("run", [*files, CellFiles("xds/kill", {0: None})])
    each = "1 client, 1 connection"
    assert summary.load_words == [
        f"Load of hang, kill: 66 s of calls, 100 calls/s, open loop, {each}, 1 at a time",
        f"Load of steady: 1,000 calls, closed loop, {each}, 1 at a time",
        f"Load of pool/steady: 1,000 calls, closed loop, {each}, 50 at a time",
    ]
    markdown, index, terminal = (
        render(summary) for render in (render_summary_markdown, render_index, render_summary_terminal)
    )
    for words in summary.load_words:
        assert words in markdown
        assert words in index
        assert words in " ".join(terminal.split())
    assert max(map(len, terminal.splitlines())) <= 80
    common = summarize_cells("run", files[:2])
    assert common.load_words == [f"Load: 1,000 calls, closed loop, {each}, 1 at a time"]
    for text in (render_summary_markdown(common), render_index(common), render_summary_terminal(common)):
        assert text.count("1 at a time") == 1
    assert summarize_cells("run", [CellFiles("xds/kill", {0: None})]).load_words == []


def test_cpu_of_every_process_a_call():
    one = made.client([[200] * 5], cpu_s=0.1)
    servers = [dataclasses.replace(server, run_cpu_s=0.04) for server in one.servers]
    cpu = measure_cpu([one], servers, [made.envoy(1000)])
    assert (cpu.client_us_per_call, cpu.servers_us_per_call, cpu.proxies_us_per_call) == (100, 200, 200)
    assert cpu.saturated == ""
    assert [(process.role, process.core_share) for process in cpu.busiest] == [
        ("client", 0.2), ("proxy", 0.4), ("server", 0.08),
    ]  # fmt: skip


def test_cpu_that_nobody_measured_is_no_zero():
    """The CPU of a server since its start is not the run's."""
    one = made.client([[200] * 5])
    assert one.servers[0].cpu_s == 0.5
    half = [dataclasses.replace(server, run_cpu_s=0.04) for server in one.servers[:2]] + one.servers[2:]
    for servers in (one.servers, half):
        assert measure_cpu([one], servers, []).servers_us_per_call is None
    assert measure_cpu([one], one.servers, []).proxies_us_per_call is None


@pytest.mark.parametrize(("cpu_s", "said"), [(0.45, False), (0.46, True)])
def test_a_saturated_core_is_named(cpu_s, said):
    report = made.through_envoy([200] * 5, cpu_s=cpu_s)
    assert (report.cpu.saturated != "") is said
    if said:
        assert report.cpu.saturated.endswith("client 0 used 92 % of a core while the load ran.")


def test_a_saturated_server_or_forwarder_is_named_in_every_view():
    servers = [dataclasses.replace(one, run_cpu_s=0.01) for one in made.client([[200] * 5]).servers]
    servers[2] = dataclasses.replace(servers[2], run_cpu_s=0.47)
    report = build_report(made.plan(requests=1000), made.inventory(), [made.client([[200] * 5], servers=servers)])
    words = "One saturated core explains the calls a second: echo-2 used 94 % of a core while the load ran."
    assert report.cpu.saturated == words
    index = summarize_cells("run", [CellFiles("headless/steady", {0: data_of(report)})])
    for page in (render_html(report), render_index(index), render_markdown(report)):
        assert words in page
    assert "| 300 / – / 510\\* |" in render_summary_markdown(index)
    full = build_report(
        made.plan(requests=1000), made.inventory(), [made.client([[200] * 5], hop_cpu={"the port-forward": [0, 0.46]})]
    )
    assert "the port-forward used 92 %" in full.cpu.saturated
    assert "proxies 460 µs" in cpu_line(full)


def cpu_cell(name, cpu, path=()):
    parts = dict(zip(("client_us", "proxies_us", "servers_us"), cpu, strict=True))
    return dataclasses.replace(only(repeated(paced(0.5))), strategy=name, path=["client", *path, "server"], **parts)


def test_cpu_chart_shows_every_part_and_says_what_it_lacks():
    cells = [
        cpu_cell("kind-envoy", (100, None, 170), ["envoy-client"]),
        cpu_cell("envoy", (100, 110, 170), ["envoy-client"]),
        cpu_cell("headless", (80, None, 120)),
        cpu_cell("old", (50, None, None)),
    ]
    rows = cpu_chart(cells).spec["data"]["values"]
    told = {row["name"]: row["words"] for row in rows if row["words"]}
    assert list(told.items()) == [
        ("headless", "200 µs"), ("envoy", "380 µs"), ("old", "50 µs  (servers not measured)"),
        ("kind-envoy", "270 µs  (proxies not measured)"),
    ]  # fmt: skip
    assert [row["end"] - row["begin"] for row in rows if row["name"] == "envoy"] == [100, 110, 170]
    assert cpu_chart(cells[:1]) is None
    assert "from headless with 200 µs to kind-envoy with 270 µs" in cpu_chart(cells).description


def test_unknown_servers_cpu_reads_as_none():
    old = to_dict(made.client([[200] * 5]).servers[0])
    del old["run_cpu_s"]
    assert from_dict(type(made.client([[1]]).servers[0]), old).run_cpu_s is None


def test_timeline_rates_use_the_real_length_of_the_cut_columns():
    """The first interval began before the run did, the last one ended after it."""
    report = made.headless([100] * 5)
    spans = timeline_spans(report)
    assert spans[0].begin == 0
    assert spans[-1].end == report.actual.duration_s
    assert sum(sum(span.calls.values()) for span in spans) == 500
    assert all(one.end == two.begin for one, two in pairwise(spans))


def test_failed_calls_have_their_own_layer():
    report = build_report(made.plan(requests=205), made.inventory(), [made.client([[40] * 5], failed={"UNKNOWN": 5})])
    assert sum(span.calls.get(FAILED, 0) for span in timeline_spans(report)) == 5
    assert "var(--bad)" in json.dumps(timeline_chart(report).spec)


def test_charts_survive_what_aborts_their_renderer():
    text = draw(
        {"mark": "text", "data": {"values": [{"t": "a\x1b\x00\ufffe<b>"}]}, "encoding": {"text": {"field": "t"}}},
        'says "this"',
        "name",
    )
    assert "a???&lt;b&gt;" in text
    assert 'aria-label="says &#34;this&#34;"' in text
    assert "http" not in text
