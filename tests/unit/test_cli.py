"""What every command of ``lb-lab`` does alike."""

from __future__ import annotations

import pytest
from grpc_lb_lab import cli

TOO_LONG = "x" * 300


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["watch", "--state", TOO_LONG], "--state"),
        (["tidy", "--state", TOO_LONG], "--state"),
        (["local", "status", "--state", TOO_LONG], "--state"),
        (["local", "up", "--strategy", TOO_LONG], "--strategy"),
        (["summary", TOO_LONG], "RUN_DIR"),
        (["diff", "app", TOO_LONG], "BUNDLE_B"),
        (["report", "--results", TOO_LONG], "--results"),
        (["client", "--plan", TOO_LONG], "--plan"),
    ],
)
def test_a_path_that_cannot_be_looked_at(command, name, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(command)
    told = capsys.readouterr().err.splitlines()
    assert end.value.code == 2
    assert told[0].startswith(f"lb-lab: error: argument {name}: xxx")
    assert "File name too long. Allowed: a path that can be looked at" in told[0]
    assert len(told) == 1
