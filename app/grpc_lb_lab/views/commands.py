"""``lb-lab report``, ``lb-lab summary`` and ``lb-lab diff``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc_lb_lab.model.errors import LabError, UsageError

if TYPE_CHECKING:
    import argparse

    from grpc_lb_lab.judge.document import Report
    from grpc_lb_lab.views.summary import Summary

EXIT_CODES = {"pass": 0, "observed": 0, "fail": 1, "invalid": 3}


def add_parsers(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Register the commands; ``handler`` is the function that runs one."""
    report = subparsers.add_parser("report", help="judge a run and write report.json, .md, .csv and .html")
    report.add_argument("--plan", type=Path, required=True, help="plan.json: what was asked for")
    report.add_argument("--inventory", type=Path, required=True, help="inventory.json: which replicas exist")
    report.add_argument("--results", type=Path, required=True, help="folder with a JSON result a client")
    report.add_argument("--output", type=Path, required=True, help="folder for the report, created when missing")
    report.add_argument(
        "--no-page", action="store_true", help="leave report.html to `lb-lab summary`, which makes all pages at once"
    )
    report.add_argument("--quiet", action="store_true", help="print nothing")
    _add_terminal_arguments(report)
    report.set_defaults(handler=report_command)
    summary = subparsers.add_parser("summary", help="write summary.json, summary.md, junit.xml and index.html of a run")
    summary.add_argument("run", type=Path, metavar="RUN_DIR", help="folder with STRATEGY/SCENARIO/report.json")
    summary.add_argument("--quiet", action="store_true", help="print nothing")
    _add_terminal_arguments(summary)
    summary.set_defaults(handler=summary_command)
    diff = subparsers.add_parser("diff", help="compare two bundles: class, verdict, figures beyond noise")
    add_diff_arguments(diff)


def _add_terminal_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--color", choices=["auto", "always", "never"], default="auto", help="colours on the terminal")
    parser.add_argument("--width", type=int, help="columns of the terminal (found out when not given)")
    parser.add_argument("--drawer", type=int, metavar="PID", help="have pages drawn by the drawer of this playbook")


def add_diff_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``lb-lab diff``."""
    parser.add_argument("a", type=Path, metavar="BUNDLE_A", help="folder of a run, or its summary.json: before")
    parser.add_argument("b", type=Path, metavar="BUNDLE_B", help="the same of another run: after")
    parser.add_argument("--format", choices=["text", "md", "json"], default="text", help="text by default")
    parser.set_defaults(handler=diff_command)


def report_command(args: argparse.Namespace) -> int:
    """Judge, write, print. Returns 0 pass, 1 fail, 3 invalid; raises ``LabError``, ``UsageError`` for a wrong path."""
    from grpc_lb_lab.views import drawer
    from grpc_lb_lab.views.apart import draw_apart
    from grpc_lb_lab.views.artifacts import write_page

    report = _judge(args)
    if args.no_page:
        drawer.ask(args.drawer, {"page": str(args.output)}, wait=False)
    else:
        draw_apart(lambda: write_page(report, args.output))
    return EXIT_CODES[report.verdict.status]


def _judge(args: argparse.Namespace) -> Report:
    """Judge the results and write all of the report but its page, having printed it."""
    from grpc_lb_lab.judge.build import build_report
    from grpc_lb_lab.model.inventory import Inventory
    from grpc_lb_lab.model.plan import Plan
    from grpc_lb_lab.model.result import ClientResult
    from grpc_lb_lab.views.artifacts import read_as, write_report

    _check_folder("--results", args.results)
    for option, path in (("--plan", args.plan), ("--inventory", args.inventory)):
        if not path.is_file():
            raise UsageError(f"{option} {path}: there is no such file. Allowed: the JSON file of a run")
    plan, inventory = read_as(Plan, args.plan), read_as(Inventory, args.inventory)
    files = [path for path in sorted(args.results.glob("*.json")) if path.name not in ("inventory.json", "plan.json")]
    report = build_report(plan, inventory, [read_as(ClientResult, path) for path in files])
    if not args.quiet:
        _print(report, args)  # before writing: a full disk must not hide the verdict
    write_report(report, args.output, page=False)
    return report


def _check_folder(name: str, path: Path) -> None:
    """Raise ``UsageError`` for what is no folder."""
    if not path.is_dir():
        problem = "is no folder" if path.exists() else "there is no such folder"
        raise UsageError(f"{name} {path}: {problem}. Allowed: the folder of a run")


def _print(report: Any, args: argparse.Namespace) -> None:
    from grpc_lb_lab.views.render.terminal import render_terminal
    from grpc_lb_lab.views.shown import shown

    colour, width = _terminal(args)
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(render_terminal(shown(report), width=width, colour=colour, unicode=unicode))
    sys.stdout.flush()


def _terminal(args: argparse.Namespace) -> tuple[bool, int]:
    """Whether to write in colour, and how wide."""
    colour = args.color == "always" or (args.color == "auto" and sys.stdout.isatty())
    return colour, min(args.width or shutil.get_terminal_size((80, 24)).columns, 120)


def summary_command(args: argparse.Namespace) -> int:
    """Summarize a run. Returns 0 when every cell passed, 1 when any failed, else 3; raises ``LabError``."""
    from grpc_lb_lab.views.render.summary_terminal import render_summary_terminal
    from grpc_lb_lab.views.shown import shown

    summary = _sum_up(args.run, args.drawer)
    if not args.quiet:
        colour, width = _terminal(args)
        sys.stdout.write(render_summary_terminal(shown(summary), width=width, colour=colour))
        sys.stdout.flush()
    return EXIT_CODES[summary.status]


def _sum_up(run: Path, owner: int | None) -> Summary:
    """Write the summary of a run, and all of its pages that are not there yet. Raises ``LabError``."""
    from grpc_lb_lab.views import drawer
    from grpc_lb_lab.views.apart import draw_apart
    from grpc_lb_lab.views.artifacts import complete_cells, write_index, write_summary
    from grpc_lb_lab.views.bundle import read_bundle
    from grpc_lb_lab.views.summary import summarize_cells

    _check_folder("RUN_DIR", run)
    cells = read_bundle(run)
    if not cells:
        raise UsageError(f"RUN_DIR {run}: it has no STRATEGY/SCENARIO/report.json. Allowed: the folder of a run")
    summary = summarize_cells(run.resolve().name, cells)
    write_summary(summary, run)
    # Last: what has to be drawn must not stand in the way of the figures.
    if not drawer.ask(owner, {"run": str(run)}):
        draw_apart(lambda: (write_index(summary, run), complete_cells(run, cells)))
    return summary


def diff_command(args: argparse.Namespace) -> int:
    """Compare two bundles. Returns 0 when no class and no verdict changed, else 1; raises ``UsageError``."""
    from grpc_lb_lab.model.data import to_dict
    from grpc_lb_lab.views.diff import compare
    from grpc_lb_lab.views.render.diff import render_diff_markdown, render_diff_text
    from grpc_lb_lab.views.render.json import dump
    from grpc_lb_lab.views.shown import shown

    diff = shown(compare(_bundle(args.a), _bundle(args.b)))
    if args.format == "json":
        sys.stdout.write(dump(to_dict(diff)))
    else:
        sys.stdout.write(render_diff_markdown(diff) if args.format == "md" else render_diff_text(diff))
    return int(diff.changed)


def _bundle(path: Path) -> Any:
    """The summary of a bundle, made anew from its reports, so that bundles of older versions can be compared too."""
    from grpc_lb_lab.model.files import read_as
    from grpc_lb_lab.views.bundle import read_bundle
    from grpc_lb_lab.views.summary import Summary, summarize_cells

    try:
        if path.is_file():
            return read_as(Summary, path)
        return summarize_cells(path.resolve().name, read_bundle(path))
    except LabError as error:  # wrong usage, not a broken lab: 1 must keep its meaning
        raise UsageError(str(error)) from error
