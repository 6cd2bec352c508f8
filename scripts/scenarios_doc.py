"""Writes docs/scenarios.md from scenarios/*.yaml; with --check only says whether it is fresh (exit 1: it is not)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml
from grpc_lb_lab.model.strategy import Strategy
from grpc_lb_lab.settings import scenarios as rules
from grpc_lb_lab.settings.ways import WAYS, way_of

REPO = Path(__file__).resolve().parents[1]
PAGE = REPO / "docs" / "scenarios.md"
HEAD = """\
# Scenarios

<!-- Written by scripts/scenarios-doc from scenarios/*.yaml; edit those. -->

A steady picture is half the truth. A scenario is a load, and something that happens to the replicas meanwhile:

```sh
make lab STRATEGY=headless ARGS='-e scenario=dns-trap'
make remedy SCENARIO=dns-trap      # the trouble, and what helps, side by side
make watch                         # in a second terminal, or on another screen: what happens, while it happens
make test-scenarios                # all of them, against what is said below
```

## What is measured

- **Share again**: seconds from the first event until every ready replica has its share of the calls, and keeps it to
  the end of the run: in each window (2 s) at least 55 % of an even share; of a policy that draws less, where chance
  explains it. It may be `never`.
- **Error window**: from the start of the first call that failed to the end of the last one.

Beside them the report has failed calls by code, calls that were in flight when something was ordered and did not come
back, latency before, during and after, connections opened and closed, and for each new replica the clocks that people
confuse: ordered, ready, in the endpoints, in DNS, first call answered.

The load is an open loop, as real callers are: calls are due at their times, whatever became of those before. Faults end
by themselves, so that the first figure is about the way back.

## The phase

The first event comes at a time that is drawn from the range of the scenario: what becomes of a rollout depends on how
long ago the client asked DNS. `lab_seed` decides, all strategies of a comparison meet the same phase, and its repeats
(`-e lab_repeats=3`) spread over the range. The report says which it was.

## What is expected

The verdict passes when all three are as expected: the class of the calls in the last seconds, over the replicas
that are ready then; when the share was back; and the error window. Expected trouble is a pass, too: a headless name
*should* have its outage.

A scenario says what it expects of each way of learning addresses, so **a strategy of your own is one file for all
scenarios**: its settings tell its way, and its way what is expected. Where a strategy does better or worse than others
of its way, its own file says so, key by key, or why a scenario makes no sense with it:

```yaml
strategy:
  expect:
    steady: even
    dns-trap: {share: 24, errors: 3}
  refuse:
    slow: its servers are slow already
```

A strategy whose settings belong to none of these ways is measured and not judged, unless its file has the `class` too.
Without `steady`, a run in which nothing happens is measured and not judged.

WAYS

`-e lab_scenarios_dir=FOLDER` takes other files of the same grammar (scenarios/schema.json); under `expect` and `refuse`
they may also name a strategy, and this comes before everything else.
"""
ORDERS = {
    "scale": "scale",
    "restart": "replace all replicas one by one (a rollout)",
    "replace": "replace all replicas at once: the new set first, then the old one leaves",
    "delete": "let the {which} replica leave; another takes its place",
    "kill": "kill the {which} replica (SIGKILL); another takes its place",
    "stop": "stop the {which} replica (SIGSTOP)",
    "slow": "let the {which} replica wait {delay_ms} ms before each answer",
    "fail": "let the {which} replica answer each call with {code}",
}


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    text = page(read("scenarios"), [Strategy.parse(words) for words in read("strategies")])
    if "--check" in arguments:
        fresh = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text
        print("fresh" if fresh else "docs/scenarios.md is stale: run scripts/scenarios-doc")
        return 0 if fresh else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


def read(folder: str) -> list[dict[str, Any]]:
    """What the files of a folder say, in the order of their names."""
    files = sorted(REPO.glob(f"{folder}/*.yaml"), key=lambda path: path.stem)
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in files]


def page(scenarios: list[dict[str, Any]], strategies: list[Strategy]) -> str:
    """The whole page: a table of all, then a section each."""
    rows = ["## All of them", "", "| scenario | what happens | what it shows | takes |", "| --- | --- | --- | --- |"]
    rows.append("| `steady` | nothing but the load | where calls go; see docs/strategies.md | a second |")
    for values in scenarios:
        about = values["scenario"]
        takes = f"{values['load']['duration_s']:g} s"
        rows.append(f"| [{about['name']}](#{about['name']}) | {about['title']} | {about['shows']} | {takes} |")
    head = HEAD.replace("WAYS", "\n".join(ways(strategies)))
    return "\n".join([head, *rows, *(section(values, strategies) for values in scenarios)]) + "\n"


def ways(strategies: list[Strategy]) -> list[str]:
    """A table of the ways, with the strategies that learn so."""
    rows = ["| way | how addresses are learnt | strategies |", "| --- | --- | --- |"]
    for way, words in WAYS.items():
        names = ", ".join(strategy.name for strategy in strategies if way_of(strategy) == way)
        rows.append(f"| `{way}` | {words} | {names} |")
    return rows


def section(values: dict[str, Any], strategies: list[Strategy]) -> str:
    """One scenario."""
    about, load = values["scenario"], values["load"]
    phase = about["phase"]
    lines = ["", f"## {about['name']}", "", f"{about['title']}. {about['shows']}", ""]
    lines += [f"- {order(event)}, {when(event, phase)}" for event in values["events"]]
    if "baseDelayMs" in about:
        lines.append(f"- every replica takes {about['baseDelayMs']} ms for an answer from the start, to compare with")
    deadline = f", each with a deadline of {load['deadline_s']:g} s" if "deadline_s" in load else ""
    lines.append(f"- load: {load['rate_rps']:g} calls a second for {load['duration_s']:g} s{deadline}")
    if values.get("remedies"):
        lines.append(f"- `make remedy SCENARIO={about['name']}` runs {', '.join(values['remedies'])}")
    lines += [
        "",
        "| strategy | way | class at the end | share again | error window |",
        "| --- | --- | --- | --- | --- |",
    ]
    refused = {strategy.name: rules.refusal_of(values, strategy) for strategy in strategies}
    for strategy in strategies:
        entry = rules.expected_of(values, strategy)
        if entry and not refused[strategy.name]:
            row = [strategy.name, way_of(strategy), entry["class"], share(entry["share"]), errors(entry["errors"])]
            lines.append(f"| {' | '.join(row)} |")
    lines += ["", "Not with:", ""]
    lines += [f"- {name}: {reason}" for name, reason in refused.items() if reason]
    return "\n".join(lines)


def order(event: dict[str, Any]) -> str:
    """What is ordered, in words."""
    if event["do"] == "scale":
        by = event["by"]
        return f"{abs(by)} replica{'s' if abs(by) > 1 else ''} {'more' if by > 0 else 'fewer'}"
    which = event.get("which", "")
    words = f"number {which}" if isinstance(which, int) else {"first": "oldest"}.get(which, which)
    return ORDERS[event["do"]].format(**{**event, "which": words})


def when(event: dict[str, Any], phase: dict[str, float]) -> str:
    """When it comes, and for how long."""
    first, last = (phase[key] + event["after_s"] for key in ("from_s", "to_s"))
    lasting = f", for {event['for_s']:g} s" if event.get("for_s") else ""
    return f"{first:g} to {last:g} s after the first call{lasting}"


def share(value: str | float) -> str:
    """An expectation of the first figure."""
    return value if isinstance(value, str) else f"within {value:g} s"


def errors(value: str | float) -> str:
    """An expectation of the second figure."""
    return value if isinstance(value, str) else f"at most {value:g} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
