"""What the lab's actions of Ansible share: they work on the machine that runs the playbook, whatever a task names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpc_lb_lab.own.state import CHECKOUT
from grpc_lb_lab.settings import names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


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


def tell(display: Any, line: str) -> None:
    """Show a line of progress; where stdout is another callback's, such as that of JSON, it goes to stderr.

    ``display`` is Ansible's.
    """
    from ansible import constants

    display.display(line, stderr=constants.DEFAULT_STDOUT_CALLBACK != "lab")


def extra_variables(loader: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what was given with ``-e``, and of it the maps, each whole (``names.maps``).

    ``loader`` is Ansible's.
    """
    from ansible import context
    from ansible.utils.vars import load_extra_vars

    whole = names.maps(context.CLIARGS.get("extra_vars", ()))
    return names.without_maps(load_extra_vars(loader), whole), whole


def short(path: Path) -> str:
    """Return a path as people write it: from the checkout, when it is in there."""
    return str(path.relative_to(CHECKOUT) if path.is_relative_to(CHECKOUT) else path)
