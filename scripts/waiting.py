"""Measures how long one waits for the lab, in empty playbooks: what Ansible takes to do nothing is the unit.

In turns, so that a busy moment of the machine meets all of them: an empty playbook, a warm
``lab.yml -e strategy=envoy`` and, at the end, a comparison of all strategies, with this checkout and with those that
``--beside`` names. Each runs a lab of its own in a folder of its own, which is removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

REPO = Path(__file__).resolve().parent.parent
EMPTY = "- hosts: localhost\n  gather_facts: false\n  tasks: []\n"


@dataclass
class Checkout:
    """A checkout of the lab and what was measured with it, all in seconds."""

    repo: Path
    scratch: Path
    cluster: str
    empty: list[float] = field(default_factory=list)
    lab: list[float] = field(default_factory=list)
    beside_load: list[float] = field(default_factory=list)
    compare: list[float] = field(default_factory=list)
    cpu: dict[str, list[float]] = field(default_factory=lambda: {"empty": [], "lab": [], "compare": []})
    cells: int = 0

    def play(self, playbook: str, *words: str, where: bool = False) -> float:
        """Run a playbook to its end; returns its seconds. Raises ``SystemExit`` with its output when it fails."""
        own = [] if playbook.startswith("/") else self.own
        line = [str(self.repo / ".venv/bin/ansible-playbook"), playbook, *own, *words]
        began = time.perf_counter()
        done = subprocess.Popen(line, cwd=self.repo, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.stdout is not None
        said: list[str] = []
        for text in done.stdout:
            said.append(text)
            if where:
                print(f"{time.perf_counter() - began:8.2f} s  {text}", end="", flush=True)
        if done.wait():
            sys.exit(f"{playbook} of {self.repo} failed:\n{''.join(said)}")
        return time.perf_counter() - began

    @property
    def own(self) -> list[str]:
        """The variables that keep its lab apart; a kind cluster is the checkout's own and stays."""
        state = [] if self.cluster == "kind" else ["-e", f"lab_state_dir={self.scratch / 'state'}"]
        return ["-e", f"lab_cluster={self.cluster}", "-e", f"lab_artifacts_dir={self.scratch / 'artifacts'}", *state]

    @contextmanager
    def counting(self, name: str) -> Iterator[None]:
        """Note the CPU time of a playbook and of what it started itself: a busy machine does not change that much."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        yield
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    def measure_lab(self) -> None:
        """A pair: the empty playbook and a warm lab, which is measured with and without its load."""
        with self.counting("empty"):
            self.empty.append(self.play(str(self.scratch / "empty.yml")))
        with self.counting("lab"):
            self.lab.append(self.play("playbooks/lab.yml", "-e", "strategy=envoy"))
        report = next((self.scratch / "artifacts/latest").glob("*/*/report.json"))
        self.beside_load.append(self.lab[-1] - json.loads(report.read_text())["actual"]["duration_s"])

    def measure_compare(self, strategies: str) -> None:
        """A comparison, to be divided by its cells."""
        words = ["-e", f"strategies={strategies}"] if strategies else []
        with self.counting("compare"):
            self.compare.append(self.play("playbooks/compare.yml", *words))
        self.cells = len(json.loads((self.scratch / "artifacts/latest/summary.json").read_text())["cells"])

    def remove(self) -> None:
        """End its lab."""
        if self.cluster == "local":
            self.play("playbooks/reset.yml")


def main() -> int:
    """Measure, print a table. Returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, action="append", default=[], metavar="CHECKOUT", help="measure it too")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="warm runs of lab.yml (default: 5)")
    parser.add_argument("--compare", type=int, default=1, metavar="N", help="comparisons (default: 1; 0: none)")
    parser.add_argument("--strategies", default="", metavar="A,B", help="of the comparison (default: all)")
    parser.add_argument("--cluster", choices=["local", "kind"], default="local", help="default: local")
    parser.add_argument("--where", action="store_true", help="only show when each line of one warm lab.yml comes")
    args = parser.parse_args()
    with ExitStack() as stack:
        checkouts = []
        for repo in [REPO, *(path.resolve() for path in args.beside)]:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="waiting-")))
            (scratch / "empty.yml").write_text(EMPTY)
            checkouts.append(Checkout(repo, scratch, args.cluster))
        for one in checkouts:
            stack.callback(one.remove)
            one.play("playbooks/lab.yml", "-e", "strategy=envoy")
        if args.where:
            for one in checkouts:
                print(one.repo)
                one.play("playbooks/lab.yml", "-e", "strategy=envoy", where=True)
            return 0
        for _ in range(args.rounds):
            for one in checkouts:
                one.measure_lab()
        for _ in range(args.compare):
            for one in checkouts:
                one.measure_compare(args.strategies)
    print(table(checkouts))
    return 0


def table(checkouts: list[Checkout]) -> str:
    """The medians, a column a checkout. Ratios are of pairs: each run by the empty playbook just before it."""
    rows: list[tuple[str, list[str]]] = [
        ("", [one.repo.name for one in checkouts]),
        ("empty playbook", [f"{median(one.empty):.2f} s" for one in checkouts]),
        ("lab.yml -e strategy=envoy, warm", [f"{median(one.lab):.2f} s" for one in checkouts]),
        ("  beside its load, × empty", [f"{ratio(one.beside_load, one.empty):.2f}" for one in checkouts]),
        ("  CPU time, × empty", [f"{ratio(one.cpu['lab'], one.cpu['empty']):.2f}" for one in checkouts]),
    ]
    if all(one.compare for one in checkouts):
        rows += [
            ("compare.yml", [f"{median(one.compare):.1f} s" for one in checkouts]),
            ("  cells", [str(one.cells) for one in checkouts]),
            ("  a cell, × empty", [a_cell(one, one.compare, one.empty) for one in checkouts]),
            ("  CPU time of a cell, × empty", [a_cell(one, one.cpu["compare"], one.cpu["empty"]) for one in checkouts]),
        ]
    if len(checkouts) > 1:
        first = checkouts[0]
        rows.append(("lab.yml of the first / of this", [f"{ratio(first.lab, one.lab):.2f}" for one in checkouts]))
        if first.compare:
            words = [f"{median(first.compare) / median(one.compare):.2f}" for one in checkouts]
            rows.append(("compare.yml of the first / of this", words))
    rows.append((f"load of the machine: {os.getloadavg()[0]:.1f}", []))
    return "\n".join(f"{name:36}" + "".join(f"{word:>14}" for word in words) for name, words in rows)


def a_cell(one: Checkout, compare: list[float], empty: list[float]) -> str:
    """A cell's part of a comparison, in empty playbooks."""
    return f"{median(compare) / one.cells / median(empty):.2f}"


def ratio(above: list[float], below: list[float]) -> float:
    """The median of the ratios of pairs."""
    return median(one / other for one, other in zip(above, below, strict=True))


if __name__ == "__main__":
    sys.exit(main())
