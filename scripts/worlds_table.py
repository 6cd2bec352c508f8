"""Prints Markdown tables of the two figures of scenarios, from comparisons on ``local`` and on a cluster.

Arguments: folders of comparisons on ``local``, ``--``, folders of comparisons on the cluster. A scenario is a table, a
strategy a row, ordered by what the cluster showed: the sooner shares are back the higher, then the shorter errors.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

from grpc_lb_lab.judge.scenario.repeats import ScenarioRanges, failed_words, scenario_ranges, spread_words
from grpc_lb_lab.views.bundle import read_bundle

World = dict[tuple[str, str], ScenarioRanges]
HEAD = """| strategy | shares back: local | kind | error window: local | kind | worst repeat: local | kind |
|---|---|---|---|---|---|---|"""


def main(arguments: list[str]) -> int:
    """Print the tables. Returns 2 with a word of usage when a side is missing or holds no repeated scenario."""
    if "--" not in arguments:
        return _usage("no -- between the folders of the two worlds")
    middle = arguments.index("--")
    local, cluster = (
        read_world([Path(name) for name in side]) for side in (arguments[:middle], arguments[middle + 1 :])
    )
    if not local or not cluster:
        return _usage(f"no scenario was found on {'the cluster' if local else 'local'}")
    print("\n\n".join(render(scenario, local, cluster) for scenario in sorted({key[0] for key in (*local, *cluster)})))
    return 0


def read_world(folders: list[Path]) -> World:
    """Return the ranges of every scenario and strategy in the folders of comparisons."""
    reports: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in (cell for folder in folders for cell in read_bundle(folder)):
        strategy, scenario = cell.place.split("/")
        reports.setdefault((scenario, strategy), []).extend(report for report in cell.reports.values() if report)
    ranges = {key: scenario_ranges(found) for key, found in reports.items()}
    return {key: found for key, found in ranges.items() if found is not None}


def render(scenario: str, local: World, cluster: World) -> str:
    """Return the table of one scenario under its name."""
    names = sorted({key[1] for key in (*local, *cluster) if key[0] == scenario})
    names.sort(key=lambda name: _rank(cluster.get((scenario, name)) or local[scenario, name]))
    rows = [_row(name, local.get((scenario, name)), cluster.get((scenario, name))) for name in names]
    return "\n".join([f"### `{scenario}`", "", HEAD, *rows])


def _rank(ranges: ScenarioRanges) -> tuple[float, float]:
    back = ranges.share_returned_s.median
    return math.inf if back is None else back, ranges.error_window_s.median or 0.0


def _row(name: str, *worlds: ScenarioRanges | None) -> str:
    columns = [
        [spread_words(one.share_returned_s) if one else "–" for one in worlds],
        [spread_words(one.error_window_s) if one else "–" for one in worlds],
        [failed_words(one) if one else "–" for one in worlds],
    ]
    return f"| `{name}` | {' | '.join(word for pair in columns for word in pair)} |"


def _usage(problem: str) -> int:
    print(f"{problem}. Usage: scripts/worlds-table artifacts/LOCAL... -- artifacts/KIND...", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
