"""Long: every scenario as its file has it. `make test-scenarios` sets LAB_TEST_SCENARIOS; others pass it by."""

from __future__ import annotations

import os

# Not collected at all without it: a skipped test would look like one that ran.
collect_ignore_glob = [] if os.environ.get("LAB_TEST_SCENARIOS") else ["test_*.py"]
