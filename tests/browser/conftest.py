"""A browser and a bundle, made once for all tests in here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "report"))  # report_factory
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "watch"))  # play

import devtools
import sample
from grpc_lb_lab import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKS = (Path(__file__).parent / "checks.js").read_text()


@pytest.fixture(scope="session")
def browser() -> Iterator[devtools.Browser]:
    """Chromium; whoever uses it needs chromium."""
    with devtools.Browser() as started:
        yield started


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 cells with all their pages."""
    run = sample.write_sample(tmp_path_factory.mktemp("artifacts") / "20261122T010203Z-compare")
    assert cli.main(["summary", str(run), "--quiet"]) == 1
    return run


@pytest.fixture
def look(browser):
    """Opens a page and returns it with what a person would stumble over."""

    def open_page(path, **settings):
        page = browser.open(path, **settings)
        return page, page.evaluate(CHECKS)

    return open_page
