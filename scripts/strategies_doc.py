"""Writes docs/strategies.md from strategies/*.yaml; with --check only says whether it is fresh (exit 1: it is not)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

REPO = Path(__file__).resolve().parents[1]
PAGE = REPO / "docs" / "strategies.md"
HEAD = """\
# Strategies

<!-- Written by scripts/strategies-doc from strategies/*.yaml; edit those. -->

One file in `strategies/` is one way to balance. `-e strategy=NAME` runs it. docs/verdicts.md explains the classes.
"""
SETTINGS = ("client", "server", "drain", "envoy", "gateway", "controlPlane", "mesh", "load")
HOPS = {
    "service": "Service, one address; a replica a connection",
    "envoy-client": "Envoy beside the client",
    "envoy-server": "Envoy beside each replica",
    "gateway": "gateway",
    "port-forward": "kubectl port-forward",
    "istio-client": "Istio's sidecar beside the client",
    "istio-server": "Istio's sidecar beside each replica",
}
BESIDE_REPLICAS = {"envoy-server": "Envoy", "istio-server": "sidecar"}
CHANNELS = {
    "pick_first": "client, pick_first",
    "round_robin": "client, round_robin",
    "pool": "client, connection pool",
    "lookaside": "client, follows a balancer",
    "xds": "client, gRPC's xDS",
}
SOURCES = {
    "headless": "DNS, headless name: every ready replica",
    "endpoints": "list of addresses",
    "lookaside": "lookaside balancer",
    "xds": "xDS control plane",
    "mesh": "istiod",
}


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    text = page(
        [
            yaml.safe_load(path.read_text(encoding="utf-8"))
            for path in sorted(REPO.glob("strategies/*.yaml"), key=lambda path: path.stem)
        ]
    )
    if "--check" in arguments:
        fresh = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text
        print("fresh" if fresh else "docs/strategies.md is stale: run scripts/strategies-doc")
        return 0 if fresh else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


def page(strategies: list[dict[str, Any]]) -> str:
    """The whole page: a table of all, then a section each."""
    rows = ["| strategy | what it is | class | advice |", "| --- | --- | --- | --- |"]
    for values in strategies:
        about = values["strategy"]
        cells = [f"[{about['name']}](#{about['name']})", about["title"], expected(about), about["advice"]]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([HEAD, *rows, *(section(values) for values in strategies)]) + "\n"


def section(values: dict[str, Any]) -> str:
    """One strategy."""
    about = values["strategy"]
    settings = yaml.safe_dump(
        {key: values[key] for key in SETTINGS if key in values}, sort_keys=False, default_flow_style=False, width=110
    )
    return f"""
## {about["name"]}

{about["title"]}. {about["shows"]}

```mermaid
{picture(values)}
```

- **Use it**: {about["when"]}
- **Do not use it**: {about["avoid"]}
- **The lab shows**: {shown(values)}

```yaml
{settings.strip()}
```"""


def expected(about: dict[str, Any]) -> str:
    """The class that is expected where nothing happens but the load."""
    kind = str(about["expect"]["steady"])
    return f"{kind} within chance" if about["precision"] == "chance" and kind == "even" else kind


def shown(values: dict[str, Any]) -> str:
    """What a run proves, in words: class, path, keys and probes."""
    about, client = values["strategy"], values["client"]
    hops = " → ".join(["client", *about.get("hops", []), "server"])
    words = [f"class {expected(about)}", f"path {hops}"]
    if "replicas" in about:
        words.append(f"always {about['replicas']} replica" + ("s" if about["replicas"] > 1 else ""))
    if "keys" in client:
        words.append(
            f"keys a replica ({client['keys']['count']} keys in `{client['keys']['header']}`), and that none moved"
        )
    if "methods" in client:
        words.append("calls of each method: " + ", ".join(f"`{method}`" for method in client["methods"]))
    if client.get("probes"):
        words.append("after the measured calls the probes " + ", ".join(f"`{probe}`" for probe in client["probes"]))
    return "; ".join(words) + "."


def picture(values: dict[str, Any]) -> str:
    """Mermaid: the client, what stands in between, three replicas; dashed: who tells of the addresses."""
    about, client, envoy = values["strategy"], values["client"], values.get("envoy", {})
    policies = {
        "envoy-client": envoy.get("lbPolicy", ""),
        "istio-client": values.get("mesh", {}).get("destinationRule", {}).get("loadBalancer", {}).get("simple", ""),
    }
    lines = ["flowchart LR", f'  client["{CHANNELS[client["channel"]]}"]']
    last, one_target = "client", False
    for hop in about.get("hops", []):
        if hop in BESIDE_REPLICAS:
            continue
        name = hop.replace("-", "_")
        policy = f", {policies[hop]}" if policies.get(hop) else ""
        proxy = f" ({values['gateway']['proxy']})" if hop == "gateway" and "gateway" in values else ""
        lines += [f'  {name}["{HOPS[hop]}{proxy}{policy}"]', f"  {last} --> {name}"]
        last, one_target = name, hop in ("service", "port-forward")
    # What picks a replica once, and not for each call, has one thick line.
    single = one_target or (last == "client" and client["channel"] == "pick_first")
    count = about.get("replicas", 3)
    for number in range(1, min(count, 3) + 1):
        replica, inner = f"replica{number}", f"envoy{number}"
        lines.append(f'  {replica}["replica {number}"]')
        beside = next((BESIDE_REPLICAS[hop] for hop in about.get("hops", []) if hop in BESIDE_REPLICAS), "")
        if beside:
            lines += [f'  {inner}["{beside}"]', f"  {last} --> {inner}", f"  {inner} --> {replica}"]
        elif single:
            spread = about["expect"].get("steady") == "spread"
            lines.append(
                f"  {last} --> {replica}" if spread else f"  {last} {'==>' if number == 1 else '-.-'} {replica}"
            )
        else:
            lines.append(f"  {last} --> {replica}")
    if not about.get("hops") and client["target"] in SOURCES:
        lines += [f'  source(["{SOURCES[client["target"]]}"])', "  source -. addresses .-> client"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
