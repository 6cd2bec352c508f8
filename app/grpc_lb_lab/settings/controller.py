"""Where the lab's own actions of Ansible work: on the machine that runs the playbook, whatever host a task names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def elsewhere(task: Any, connection: Any, variables: Mapping[str, Any] | None) -> str:
    """Return why a task is refused that means another machine than this one, or nothing.

    ``task`` and ``connection`` are Ansible's. A host that is reached without leaving this machine is this one.
    """
    if connection.transport == "local":
        return ""
    host = task.delegate_to or (variables or {}).get("inventory_hostname", "another host")
    return (
        f"{task.action} works on the machine that runs the playbook, and the task names {host}, which is reached by "
        f"{connection.transport}. Allowed: hosts: lab, delegate_to: localhost, or connection: local"
    )
