"""What can be said of the pages and of their driver without a browser."""

from __future__ import annotations

import devtools
import pytest


def test_sizes(bundle):
    assert (bundle / "index.html").stat().st_size < 1_500_000
    assert max(path.stat().st_size for path in bundle.rglob("report.html")) < 300_000


def test_a_missing_browser_names_the_package(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(devtools.BrowserError, match="install the package chromium"):
        devtools.Browser()
