"""Counts how many places one change takes in a checkout: ``house_numbers.py [CHECKOUT …]``.

Without an argument it is this one. Several stand side by side, in their order: before and after. Nothing of them is
run; only files are read, without tests, documentation and what protobuf generates. Each line says what is counted;
``--files`` names the files.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

REPO = Path(__file__).resolve().parent.parent
PARTS = (
    "app",
    "action_plugins",
    "callback_plugins",
    "playbooks",
    "roles",
    "inventory",
    "charts",
    "strategies",
    "scenarios",
)
SUFFIXES = (".py", ".yml", ".yaml", ".j2", ".js", ".json")

STRATEGY_READ = r"\bstrategy(\[|\.get\()"
"""``strategy["client"]``, ``plan.strategy.get("envoy")``: a file that knows the keys of a strategy's file."""

FIGURE = r"\brps\b"
"""Calls a second, a figure of the cells, from the report to the pages. A further one takes fewer where tables are made
from a list: tests/unit/report/test_report_columns.py adds one."""

KIND = r"kindest|lab_kind|kind_cluster|kind_node|world_kind|(==|!=|\bin) [(\[]?[\"']kind[\"']|[\"']kind[\"'][,)\]]"
"""A file that knows of the provider kind: by a variable, a role or a comparison. ``kind:`` of a manifest is none."""


class Number(NamedTuple):
    """A count, what it counts, and the files that it is made of."""

    what: str
    places: int
    files: list[str]


def numbers(repo: Path) -> list[Number]:
    """All numbers of one checkout."""
    texts = {str(path.relative_to(repo)): path.read_text(encoding="utf-8", errors="replace") for path in _sources(repo)}
    python = {name: text for name, text in texts.items() if name.endswith(".py")}
    app = {name: text for name, text in texts.items() if name.startswith("app/")}
    reads = _having(python, STRATEGY_READ)
    strategy = _files_of_a_strategy(repo, texts)
    figure = _having(app, FIGURE)
    kind = _having(texts, KIND)
    flat = _flat_folders(app)
    lines = {name: len(text.splitlines()) for name, text in python.items() if name.startswith("app/")}
    generated = sum(len(path.read_text("utf-8").splitlines()) for path in (repo / "app").glob("*/pb/**/*.py"))
    return [
        Number("files that read a strategy's dict by its keys", len(reads), reads),
        Number("  and places in them", sum(len(re.findall(STRATEGY_READ, python[name])) for name in reads), []),
        Number("files that name one strategy (the median of all), scenarios included", len(strategy), strategy),
        Number("files that name one figure of the cells, calls a second", len(figure), figure),
        Number("files that know of the provider kind", len(kind), kind),
        *(Number(f"Python files in the {place} folder of app/", count, [name]) for place, (name, count) in flat),
        Number("lines of Python in app/, with what protobuf generates", sum(lines.values()) + generated, []),
        Number("  and without", sum(lines.values()), []),
    ]


def _sources(repo: Path) -> Iterable[Path]:
    for part in PARTS:
        for path in sorted((repo / part).rglob("*")):
            if path.suffix in SUFFIXES and not {"pb", "__pycache__", "molecule"} & set(path.parts) and path.is_file():
                yield path


def _having(texts: dict[str, str], pattern: str) -> list[str]:
    return [name for name, text in texts.items() if re.search(pattern, text)]


def _files_of_a_strategy(repo: Path, texts: dict[str, str]) -> list[str]:
    """The files of the strategy of which half of all have no more; names that are words of the grammar are left out."""
    names = [path.stem for path in sorted((repo / "strategies").glob("*.yaml")) if "-" in path.stem]
    found = {name: _having(texts, rf"(?<![\w-]){re.escape(name)}(?![\w-])") for name in names}
    middle = median_low(sorted(map(len, found.values())))
    return next(files for files in found.values() if len(files) == middle)


def _flat_folders(texts: dict[str, str]) -> list[tuple[str, tuple[str, int]]]:
    """The three folders with the most Python files of their own."""
    sizes = Counter(str(Path(name).parent) for name in texts if name.endswith(".py"))
    return list(zip(("largest", "second largest", "third largest"), sizes.most_common(3), strict=False))


def main(arguments: list[str]) -> int:
    """Print a line a number, with a column a checkout."""
    parser = argparse.ArgumentParser(prog="house_numbers.py", description="How many places one change takes.")
    parser.add_argument("checkouts", nargs="*", type=Path, default=[REPO], metavar="CHECKOUT")
    parser.add_argument("--files", action="store_true", help="name the files of the last checkout, too")
    given = parser.parse_args(arguments)
    for path in given.checkouts:
        if not (path / "app").is_dir() or not (path / "strategies").is_dir():
            parser.error(f"{path} is no checkout of the lab; allowed is a folder with app and strategies")
    columns = [numbers(path.resolve()) for path in given.checkouts]
    wide = max(len(number.what) for number in columns[0])
    for row in zip(*columns, strict=True):
        print(f"{row[0].what:<{wide}}  {'  '.join(f'{number.places:>7,}' for number in row)}")
        if given.files:
            print("".join(f"    {name}\n" for name in row[-1].files), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
