"""What only some strategies have: keys, several methods, figures of probes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grpc_lb_lab.judge.facts import Facts


@dataclass(frozen=True)
class KeyFigures:
    """The keys that calls carried. ``per_backend``: keys by pod, a key at the replica that answered it most.

    ``moved`` counts keys that more than one replica answered during the run.
    """

    count: int
    moved: int
    per_backend: dict[str, int]


def key_figures(facts: Facts) -> KeyFigures | None:
    """The keys of a run; None where calls carried none. Every replica is named, also one without a key."""
    if not facts.keys:
        return None
    homes = Counter(max(sorted(found), key=lambda uid: found[uid]) for found in facts.keys.values() if found)
    return KeyFigures(
        count=len(facts.keys),
        moved=sum(1 for found in facts.keys.values() if sum(1 for calls in found.values() if calls) > 1),
        per_backend={replica.label: homes[replica.uid] for replica in facts.replicas},
    )


def methods_by_pod(facts: Facts) -> dict[str, dict[str, int]]:
    """Answered calls by method and pod; every replica is named, also one without a call."""
    return {
        method: {replica.label: found.get(replica.uid, 0) for replica in facts.replicas}
        for method, found in facts.methods.items()
    }
