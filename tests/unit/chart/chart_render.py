"""Renders the chart without a cluster, and keeps the golden renders: ``python chart_render.py [--check]``."""

from __future__ import annotations

import difflib
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import helm_python
import yaml

REPO = Path(__file__).resolve().parents[3]
CHART = REPO / "charts" / "grpc-echo"
GOLDEN = REPO / "tests" / "golden"
REPAIR = "make golden"
RELEASES = {"servers": "echo", "load": "load"}


def strategies() -> dict[str, dict[str, Any]]:
    """Return every strategy that runs on Kubernetes, by name."""
    files = sorted((REPO / "strategies").glob("*.yaml"))
    found = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in files}
    return {name: item for name, item in found.items() if "kind" in item["strategy"].get("clusters", ["kind"])}


def render(strategy: dict[str, Any], part: str, **values: Any) -> dict[str, str]:
    """Return template to manifest for one release of a strategy; templates that make nothing are left out."""
    replicas = strategy["strategy"].get("replicas", 5)
    given = {**strategy, "part": part, "replicas": replicas, "faultToken": "a token", **values}
    manifests = helm_python.Chart.load(CHART).render(given, name=RELEASES[part], namespace="grpc-lb-lab")
    return {name.split("/templates/")[1]: text for name, text in sorted(manifests.items()) if text.strip()}


def objects(strategy: dict[str, Any], part: str, **values: Any) -> list[dict[str, Any]]:
    """Return the rendered Kubernetes objects; NOTES.txt is none."""
    manifests = render(strategy, part, **values)
    return [yaml.safe_load(text) for name, text in manifests.items() if name.endswith(".yaml")]


def parts(strategy: dict[str, Any]) -> list[str]:
    """Return the releases that a strategy has: with gateway and port-forward the client runs outside."""
    return ["servers"] if strategy["client"]["target"] in ("gateway", "port-forward") else list(RELEASES)


def goldens() -> dict[Path, str]:
    """Return what the golden files should hold.

    The servers of most strategies differ in the strategy's label alone: they share one file, with ``NAME`` in it.
    """
    files = {
        GOLDEN / name / f"{part}.yaml": _text(strategy, part)
        for name, strategy in strategies().items()
        for part in parts(strategy)
    }
    nameless = {path: nameless_text(path.parent.name, text) for path, text in files.items() if path.stem == "servers"}
    ((shared, _),) = Counter(nameless.values()).most_common(1)
    own = {path: text for path, text in files.items() if nameless.get(path) != shared}
    return {GOLDEN / "servers.yaml": shared, **own}


def nameless_text(name: str, text: str) -> str:
    """Return the manifests of a strategy with ``NAME`` for its own in the label."""
    return text.replace(f"grpc-lb-lab/strategy: {name}\n", "grpc-lb-lab/strategy: NAME\n")


def _text(strategy: dict[str, Any], part: str) -> str:
    manifests = {key: text for key, text in render(strategy, part).items() if key.endswith(".yaml")}
    lines = [f"---\n# {template}\n{text.strip()}\n" for template, text in manifests.items()]
    # Helm indents the empty lines of a block too.
    return "".join(f"{line.rstrip()}\n" for line in "".join(lines).splitlines())


def differences() -> list[str]:
    """Return what differs from the golden files, as unified diffs; a file too many or too few counts."""
    wanted = goldens()
    strays = [path for path in sorted(GOLDEN.rglob("*.yaml")) if path not in wanted]
    diffs = [f"{path.name} of {path.parent.name} belongs to no strategy" for path in strays]
    for path, text in wanted.items():
        there = path.read_text(encoding="utf-8") if path.exists() else ""
        if there != text:
            old, new = there.splitlines(keepends=True), text.splitlines(keepends=True)
            diffs.append("".join(difflib.unified_diff(old, new, f"{path.parent.name}/{path.name}", "the chart")))
    return diffs


def repair() -> None:
    """Write the golden files anew."""
    for path in GOLDEN.rglob("*.yaml"):
        path.unlink()
    for path, text in goldens().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Repair, or with ``--check`` tell what differs."""
    if arguments != ["--check"]:
        repair()
        return 0
    diffs = differences()
    print("\n".join([*diffs, f"repair with: {REPAIR}"] if diffs else ["the golden renders are true"]))
    return int(bool(diffs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
