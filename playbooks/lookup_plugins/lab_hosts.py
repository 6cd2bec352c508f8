"""Lookup ``lab_hosts``: the hosts of a play of the lab, or one message when the playbook could not do its work.

Ansible ends a playbook that matches no host, or no task, with 0. It finds this file beside the playbook also where it
found no ``ansible.cfg``, and asks for the hosts before anything else.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible import constants, context
from ansible.plugins.lookup import LookupBase

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCUMENTATION = """
name: lab_hosts
short_description: The hosts of a play of the lab
description:
  - Ends the playbook with one message, and what to do, when it could not do its work. Ansible itself would end one
    that matches no host, or no task, with 0.
  - That is so with another Ansible than the one of this checkout, without its C(ansible.cfg), with an inventory that
    has other hosts in the group, and with options that leave out a part of the work, such as C(--tags).
  - It lies beside the playbooks, where Ansible finds it also without C(ansible.cfg).
options: {}
author:
  - the maintainers of grpc-lb-lab
"""

EXAMPLES = """
- name: Run one load-balancing strategy
  hosts: "{{ lookup('lab_hosts') }}"
"""

RETURN = """
_raw:
  description: The group of the lab, which holds this machine.
  type: list
  elements: str
  sample: [lab]
"""

REPO = Path(__file__).resolve().parents[2]
GROUP = "lab"
HOST = "localhost"
EVERYTHING = {GROUP, HOST, "all"}
# Molecule skips these; the last one is the playbooks' only tag, for a second run that must change nothing.
MOLECULES = {"notest", "molecule-notest", "molecule-idempotence-notest"}


class LookupModule(LookupBase):
    """Runs in the controller before the play."""

    def run(self, terms: list[Any], variables: Mapping[str, Any] | None = None, **_: Any) -> list[str]:  # noqa: ARG002  Ansible's signature
        """Return the group of the lab, or end the playbook with one message that says what to do."""
        groups = (variables or {}).get("groups", {})
        problem = wrong_program() or wrong_options(context.CLIARGS) or wrong_place(constants.CONFIG_FILE, groups)
        if problem:
            raise SystemExit(f"error: {problem}")  # Ansible would wrap any other error in six lines of its own
        return [GROUP]


def wrong_program() -> str:
    """Return what is wrong with the Ansible that runs this, or nothing."""
    if importlib.util.find_spec("grpc_lb_lab"):
        return ""
    return (
        "this ansible-playbook has no lab beside it. Run `make setup`, then .venv/bin/ansible-playbook of this checkout"
    )


def wrong_options(options: Mapping[str, Any]) -> str:
    """Return what is wrong with options that leave out a part of the work, or nothing."""
    limit = {word.strip() for word in (options.get("subset") or "all").split(",")}
    tags = set(options.get("tags") or ["all"])
    skipped = set(options.get("skip_tags") or ()) - (MOLECULES if "MOLECULE_SCENARIO_NAME" in os.environ else set())
    found = {
        f"--limit {options.get('subset')}": not limit <= EVERYTHING,
        f"--tags {','.join(sorted(tags))}": "all" not in tags,
        f"--skip-tags {','.join(sorted(skipped))}": bool(skipped),
        f"--start-at-task {options.get('start_at_task')}": options.get("start_at_task") is not None,
        "--step": bool(options.get("step")),
    }
    used = next((option for option, is_used in found.items() if is_used), "")
    return f"{used}: a playbook of the lab runs as a whole. Allowed: no {used.split()[0]}" if used else ""


def wrong_place(config: str | None, groups: Mapping[str, list[str]]) -> str:
    """Return what is wrong with the settings and the inventory that Ansible found, or nothing."""
    own = REPO / "ansible.cfg"
    if not config or Path(config).resolve() != own:
        return (
            f"Ansible does not use the lab's ansible.cfg here, but {config or 'none'}. Run:\n"
            f"       ANSIBLE_CONFIG={shlex.quote(str(own))} {shlex.join(sys.argv)}"
        )
    if groups.get(GROUP) != [HOST]:
        found = ", ".join(groups.get(GROUP) or ["no host"])
        return (
            f"the inventory has {found} in the group {GROUP}. Allowed: {HOST}, "
            "as without -i and without ANSIBLE_INVENTORY"
        )
    return ""
