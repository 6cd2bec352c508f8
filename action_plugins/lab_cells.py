"""Action ``lab_cells``: checks the variables of a comparison and makes, or takes up again, its folder."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from grpc_lb_lab import settings
from grpc_lb_lab.judge.document import Report
from grpc_lb_lab.model.errors import ArtifactError
from grpc_lb_lab.model.files import read_as, read_json
from grpc_lb_lab.settings import compare, names
from grpc_lb_lab.settings.controller import elsewhere, extra_variables, short, tell
from grpc_lb_lab.settings.folders import make_bundle, unwritable, write_json
from grpc_lb_lab.views import drawer

DOCUMENTATION = """
module: lab_cells
short_description: Checks the variables of a comparison and makes, or takes up again, its folder
description:
  - Takes no options but the public variables, those of the role lab and C(strategies), C(scenarios), C(remedy),
    C(lab_repeats) and C(lab_resume).
  - Refuses wrong ones with one message that tells all that is wrong. Then nothing was made.
  - With C(--check) no folder is made and RV(run) is empty.
notes:
  - Acts on the machine that runs the playbook. A task that names another host, or delegates to one, is refused.
options: {}
author:
  - the maintainers of grpc-lb-lab
"""

EXAMPLES = """
- name: Check the variables
  lab_cells:
  register: lab_compare
"""

RETURN = """
run:
  description: The folder of the comparison.
  returned: success
  type: str
cells:
  description: The cells that are still to be done.
  returned: success
  type: list
  elements: dict
  contains:
    number:
      description: Which one it is, from 1.
      type: int
    of:
      description: How many there are in all.
      type: int
    folder:
      description: Its folder in RV(run).
      type: str
      sample: envoy/steady
    settings:
      description: What M(lab_settings) returns for a single run.
      type: dict
"""

REPO = Path(__file__).resolve().parent.parent
WISH = "compare.json"


class ActionModule(ActionBase):
    """Runs in the controller: no module is copied or started."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the cells, or one message with all that is wrong."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if problem := elsewhere(self._task, self._connection, task_vars):
            return result | {"failed": True, "msg": problem}
        given, whole = extra_variables(self._loader)
        raw = {name: self._templar.template((task_vars or {}).get(name)) for name in names.VARIABLES}
        raw |= {name: given[name] for name in names.COMPARE if name in given} | whole
        try:
            wanted = compare.compare(raw, repo=REPO, given=given)
            run = find_unfinished(wanted) if wanted.resume else None
            if not (task_vars or {}).get("ansible_check_mode"):
                run = begin(wanted, run)
        except settings.UsageError as error:
            return result | {"failed": True, "msg": str(error)}
        except OSError as error:
            return result | {"failed": True, "msg": unwritable(str(wanted.artifacts_dir), error)}
        cells = [
            {"number": number, "of": len(wanted.cells), "folder": cell.folder, "settings": cell.settings.facts()}
            for number, cell in enumerate(wanted.cells, start=1)
            if not (run and is_done(run / cell.folder))
        ]
        done = len(wanted.cells) - len(cells)
        for line in (
            f"cluster {wanted.cluster}, {len(wanted.cells)} cells" + (f", {done} of them done before" if done else ""),
            *(f"left out: {reason}" for reason in wanted.left_out),
            *([short(run)] if run else []),
        ):
            tell(self._display, f"    {line}")
        return result | {"changed": False, "run": str(run or ""), "cells": cells}


def begin(wanted: compare.Comparison, run: Path | None) -> Path:
    """Make the folder of a new comparison, or take up ``run`` again. Raises ``OSError``."""
    if run is None:
        run = make_bundle(Path(wanted.artifacts_dir), "compare", datetime.now(UTC))
        write_json(run / WISH, wanted.wish())
    drawer.start(os.getppid())
    write_json(run / "bundle.json", {"cells": wanted.places()})
    return run


def find_unfinished(wanted: compare.Comparison) -> Path:
    """Return the folder of the newest comparison. Raises ``UsageError`` when there is none or it was another one."""
    found = sorted(wish for wish in Path(wanted.artifacts_dir).glob(f"*/{WISH}") if not wish.parent.is_symlink())
    if not found:
        message = f"lab_resume=true: {wanted.artifacts_dir} holds no comparison. Allowed: lab_resume=false"
        raise settings.UsageError(message)
    try:
        same = read_json(found[-1]) == json.loads(json.dumps(wanted.wish()))
    except ArtifactError as error:
        raise settings.UsageError(f"lab_resume=true: {error}. Allowed: lab_resume=false") from error
    if not same:
        name = found[-1].parent.name
        message = (
            f"lab_resume=true: {name} was asked for other cells or another load. "
            "Allowed: the variables of that comparison, or lab_resume=false"
        )
        raise settings.UsageError(message)
    return found[-1].parent


def is_done(cell: Path) -> bool:
    """Tell whether the cell has a report that can be read; one that was cut off is measured again."""
    try:
        read_as(Report, cell / "report.json")
    except ArtifactError:
        return False
    return True
