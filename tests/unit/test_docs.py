"""What the documentation names exists: links, paths, targets of make, variables, commands and their options."""

from __future__ import annotations

import argparse
import re
import shlex
import string
from pathlib import Path

import pytest
import yaml
from grpc_lb_lab.cli import COMMANDS, _parser
from grpc_lb_lab.settings import names

REPO = Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(REPO))
    for path in (*REPO.glob("*.md"), *(REPO / "docs").glob("*.md"), REPO / "testbed/README.md")
)
TEXTS = {page: (REPO / page).read_text() for page in PAGES}
TARGETS = set(re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), re.MULTILINE))
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
# Where a path may begin, for one who reads; and what is made by a run, a set-up or a cluster, or is no file of ours.
ROOTS = (".", "app/grpc_lb_lab", "app/grpc_lb_lab/judge", "testbed")
ELSEWHERE = re.compile(
    r"(STRATEGY|artifacts|logs|base|istiod|\.lab|\.venv|~|\$TESTBED|\.?[a-z]+\.[\w.]+)/|envoy/__init__\.py$"
)


def prose(page: str) -> str:
    """A page without its blocks of code."""
    return FENCED.sub("", TEXTS[page])


def blocks(page: str, *languages: str) -> list[str]:
    return [text for language, text in FENCED.findall(TEXTS[page]) if not languages or language in languages]


def code(page: str) -> list[str]:
    """Everything in backticks and every line of a block, comments taken off."""
    spans = re.findall(r"`([^`\n]+)`", prose(page))
    lines = [
        line.partition("  #")[0].strip()
        for block in blocks(page, "sh", "", "text", "console")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [*spans, *lines]


def slug(heading: str) -> str:
    """How GitHub makes the anchor of a heading."""
    kept = "".join(char for char in heading.lower() if char not in string.punctuation.replace("-", "").replace("_", ""))
    return kept.strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        place = (REPO / page).parent / path if path else REPO / page
        assert place.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", place.read_text(), re.MULTILINE)
            assert anchor in map(slug, headings), target


@pytest.mark.parametrize("page", PAGES)
def test_paths_exist(page):
    spans = re.findall(r"`([^`\n]+)`", prose(page))
    paths = {span for span in spans if re.fullmatch(r"[\w.*$~-][\w.*{},$~-]*/[\w.*{},/-]*", span)}
    missing = [path for path in sorted(paths) if not ELSEWHERE.match(path) and not any(found(path))]
    assert missing == []


def found(path: str):
    folders, brace, rest = path.partition("{")
    several = rest.partition("}")[0].split(",") if brace else [""]
    for root in ROOTS:
        yield all(any((REPO / root).glob(f"{folders}{one}{rest.partition('}')[2]}")) for one in several)


@pytest.mark.parametrize("page", PAGES)
def test_targets_of_make_exist(page):
    named = {match for text in code(page) for match in re.findall(r"\bmake ((?:[a-z-]+ ?)+)", text) if "/" not in match}
    assert {word for words in named for word in words.split()} <= TARGETS


def variables_of_the_roles() -> set[str]:
    specs = [
        yaml.safe_load(path.read_text())["argument_specs"] for path in REPO.glob("roles/*/meta/argument_specs.yml")
    ]
    return {name for spec in specs for entry in spec.values() for name in entry.get("options") or {}}


@pytest.mark.parametrize("page", PAGES)
def test_variables_exist(page):
    known = {*names.VARIABLES, *names.ALIASES, *names.COMPARE, *variables_of_the_roles()}
    given = {name for text in code(page) for name in re.findall(r"-e '?\{?\"?(\w+)\"?[=:]", text)}
    assert given - {"name"} <= known


@pytest.mark.parametrize(
    ("page", "role"), [("README.md", "lab"), ("docs/istio.md", "lab"), ("docs/existing-clusters.md", "place")]
)
def test_defaults_are_those_of_the_role(page, role):
    defaults = yaml.safe_load((REPO / f"roles/{role}/defaults/main.yml").read_text())
    rows = re.findall(rf"^\| (?:`\w+` or )?`({role}_\w+)` \| `?([^|`]*)`? \|", TEXTS[page], re.MULTILINE)
    assert len(rows) > 3
    for name, shown in rows:
        value = defaults.get(name)  # compare.yml has those that only a comparison takes
        if value is not None and "{{" not in str(value):
            assert shown.strip() == str(value), name


def actions(parser: argparse.ArgumentParser, words: list[str]) -> set[str]:
    """The options of a command of several words."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            if not words or words[0].startswith("-"):
                return {"--help"}
            assert words[0] in action.choices, words
            return actions(action.choices[words[0]], words[1:])
    return set(parser._option_string_actions)


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_the_app_exist(page):
    for text in code(page):
        for command in re.findall(r"(?<![\w-])lb-lab ([a-z][^|&]*)", text):
            words = shlex.split(command.partition(" …")[0].partition("`")[0])
            assert words[0] in COMMANDS, command
            known = actions(_parser(words), words)
            assert {word for word in words if re.fullmatch(r"--[a-z-]+", word)} <= known, command
