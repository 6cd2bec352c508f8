"""The part of ``make clean`` that looks at what it removes: ``.lab`` and ``artifacts``. Standard library only."""

from __future__ import annotations

import sys
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO / "app"))

from grpc_lb_lab.model.errors import LabError  # noqa: E402
from grpc_lb_lab.own import artifacts, marks, state  # noqa: E402  needs the path above


def main() -> int:
    """Remove what the lab made and name what stays. Returns 1 when something of the lab could not be removed."""
    lab = REPO / ".lab"
    try:
        for strategy in marks.folders(lab / "molecule-artifacts"):
            artifacts.remove_runs(strategy)
        marks.remove_empty(lab / "molecule-artifacts")
        state.remove_all(lab / "molecule")
        if marks.is_folder(lab):
            marks.remove(lab, folders=["test-kubernetes"])
        kept = [*state.remove_all(lab), *artifacts.remove_runs(REPO / "artifacts")]
    except (LabError, OSError) as error:
        print(f"clean: error: {error}", file=sys.stderr)
        return 1
    if kept:
        print("kept, as the lab did not make it: " + ", ".join(str(path.relative_to(REPO)) for path in kept))
    return 0


if __name__ == "__main__":
    sys.exit(main())
