"""Tells what differs between two bundles, or two folders of artifacts, but for times, ids and what follows from them.

Made for two checkouts that must write the same of the same: run one strategy with one seed in each, then
``scripts/same_pages.py OLD/artifacts/latest NEW/artifacts/latest``. Compared are which files there are and, of pages,
JSON, Markdown, CSV and JUnit, everything but numbers and names of replicas: two runs never measure the same. In JSON
also every number that a seed settles. Prints each difference; exit code 1 when there is one.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
import sys
from pathlib import Path
from typing import Any

TEXTS = (".html", ".json", ".md", ".csv", ".xml")
SETTLED = {"requests", "replicas", "clients", "connections", "concurrency", "seed", "schema_version", "servers_hit"}
"""Numbers of the JSON files that are the same in every run of a plan."""

CHART = re.compile(r'<svg class="chart".*?</svg>')

# Names and shares of replicas and dates first: they contain numbers, and their bars have lengths.
POD = re.compile(r"\becho-[0-9a-z]+(-[0-9a-z]{5})?\b")
NOISE = (
    (re.compile(r"\d{8}T\d{6}Z(-\d+)?"), "RUN"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(\+00:00|Z)?"), "TIME"),
    (POD, "POD"),
    (re.compile(r'"HIST[0-9A-Za-z+/=]+"'), '"HISTOGRAM"'),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UID"),
    (re.compile(r'\b(d|transform|points)="[^"]*"'), r'\1=""'),
    (re.compile(r"[█▏▎▍▌▋▊▉]+"), "BAR"),
    (re.compile(r"(?<![A-Za-z0-9])-?\d[\d,. ]*(e[-+]?\d+)?"), "N"),
)


def main(old: Path, new: Path) -> int:
    """Print the differences. Returns 0 when there are none, else 1; 2 for a wrong path."""
    for path in (old, new):
        if not path.is_dir():
            print(f"{path}: there is no such folder", file=sys.stderr)
            return 2
    files, others = names(old), names(new)
    found = [f"only in {old}: {name}" for name in sorted(files.keys() - others.keys())]
    found += [f"only in {new}: {name}" for name in sorted(others.keys() - files.keys())]
    for name in sorted(files.keys() & others.keys()):
        if files[name].suffix in TEXTS and "/logs/" not in name:
            before, after = (lines(path) for path in (files[name], others[name]))
            found += difflib.unified_diff(before, after, str(files[name]), str(others[name]), lineterm="", n=0)
    print("\n".join(found) if found else f"{len(files)} files say the same")
    return int(bool(found))


def names(folder: Path) -> dict[str, Path]:
    """The files of a bundle by their name without what is another one in each run."""
    inside = [path for path in sorted(folder.resolve().rglob("*")) if path.is_file()]
    found: dict[str, Path] = {}
    for path in inside:
        name = POD.sub("POD", str(path.relative_to(folder.resolve())))
        number = next(number for number in itertools.count(1) if f"{name} {number}" not in found)
        found[f"{name} {number}"] = path
    return found


def lines(path: Path) -> list[str]:
    """The text in lines, noise taken out; of JSON the keys and words, and the numbers that a seed settles."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".json":
        return sorted(set(leaves(json.loads(text))))
    return [quiet(line) for line in text.splitlines()]


def leaves(data: Any, place: str = "") -> list[str]:
    """Each value with its place, the numbers of a list's entries left out."""
    if isinstance(data, dict):
        return [line for key, value in data.items() for line in leaves(value, f"{place}.{quiet(key)}")]
    if isinstance(data, list):
        return [line for value in data for line in leaves(value, f"{place}[]")] or [f"{place} []"]
    settled = place.rpartition(".")[2] in SETTLED or isinstance(data, bool)
    return [f"{place} {data if settled else quiet(json.dumps(data, ensure_ascii=False))}"]


def quiet(text: str) -> str:
    """The text without times, ids, names of replicas and numbers; of a chart, the kinds of elements that it has."""
    text = CHART.sub(lambda chart: " ".join(sorted({quiet(part) for part in chart[0][1:].split("<")})), text)
    for pattern, word in NOISE:
        text = pattern.sub(word, text)
    return text


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: scripts/same_pages.py OLD_RUN NEW_RUN")
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
