"""The probe ``keys-move``: what share of the keys moves when one replica leaves.

With N replicas, a consistent hash moves the keys of the one that left, about 1/N of all, and leaves (nearly) all others
where they were. ``hash mod N`` would move nearly all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpc_lb_lab.load.probes.probing import within
from grpc_lb_lab.pb.echo.v1 import echo_pb2

if TYPE_CHECKING:
    from grpc_lb_lab.load.probes.probing import Probing

# Longer than any proxy of the lab takes to notice; a client that dies leaves the replica unready for no longer.
FOR_MS = 60_000
OUT_LIMIT_S = 40.0
BACK_LIMIT_S = 40.0


async def keys_move(probing: Probing) -> dict[str, Any]:
    """Make the replica with the most keys unready, see which keys move, let it return, see which come back.

    Raises ``OSError`` when a call fails or the proxy does not take the replica out.
    """
    before = owners(probing.result.keys)
    of_replica: dict[str, list[str]] = {}
    for key, uid in before.items():
        of_replica.setdefault(uid, []).append(key)
    if len(of_replica) < 2:
        raise OSError("the keys use fewer than 2 replicas, so none can move")
    removed = max(sorted(of_replica), key=lambda uid: len(of_replica[uid]))
    address, witness = probing.address(removed), of_replica[removed][0]

    async def is_out() -> bool:
        return await probing.who_answers(witness) != removed

    async def is_back() -> bool:
        return await probing.who_answers(witness) == removed

    await probing.fault(address, echo_pb2.FaultRequest(unready=True, for_ms=FOR_MS))
    try:
        out_s = await within(OUT_LIMIT_S, is_out)
        if out_s is None:
            raise OSError(f"the proxy still sent calls to a replica that is not ready, after {OUT_LIMIT_S:g} s")
        without = {key: await probing.who_answers(key) for key in before}
    finally:
        await probing.heal(address)
    back_s = await within(BACK_LIMIT_S, is_back)
    after = {key: await probing.who_answers(key) for key in before}
    return {
        **compare(before, without, removed),
        "replica": next((one.pod for one in probing.result.backends if one.uid == removed), removed),
        "replicas": len(probing.result.servers),
        "out_after_s": round(out_s, 2),
        "back_after_s": None if back_s is None else round(back_s, 2),
        "keys_back": sum(1 for key, uid in before.items() if after[key] == uid),
    }


def owners(keys: dict[str, dict[str, int]]) -> dict[str, str]:
    """The replica of each key: the one that answered most of its calls."""
    return {key: max(sorted(counts), key=lambda uid: counts[uid]) for key, counts in sorted(keys.items()) if counts}


def compare(before: dict[str, str], without: dict[str, str], removed: str) -> dict[str, Any]:
    """What moved between two maps from key to replica. ``others_moved``: keys that were not the removed replica's."""
    moved = [key for key, uid in before.items() if without[key] != uid]
    had = sum(1 for uid in before.values() if uid == removed)
    return {
        "keys": len(before),
        "moved": len(moved),
        "moved_share": round(len(moved) / len(before), 4),
        "removed_keys": had,
        "removed_share": round(had / len(before), 4),
        "others_moved": sum(1 for key in moved if before[key] != removed),
    }
