"""A kind cluster of its own for all tests here. `make test-kubernetes` sets LAB_TEST_KUBERNETES; others pass it by.

`make test-scenarios-kubernetes` sets LAB_TEST_SCENARIOS too, for what takes longer than all the rest.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from kubernetes_lab import KubernetesLab

if TYPE_CHECKING:
    from collections.abc import Iterator

# Without a cluster these tests are not collected at all: a skipped test would look like one that ran.
collect_ignore_glob = [] if os.environ.get("LAB_TEST_KUBERNETES") else ["test_*.py"]
if not os.environ.get("LAB_TEST_SCENARIOS"):
    collect_ignore_glob.append("test_all_scenarios.py")


@pytest.fixture(scope="session")
def kind_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesLab]:
    """The lab on a kind cluster; it is removed at the end, and nothing of it may be left."""
    lab = KubernetesLab(tmp_path_factory.mktemp("lab"))
    try:
        yield lab
    finally:
        if lab.kubeconfig.exists():
            lab.use_as_existing(tmp_path_factory.mktemp("user") / "kubeconfig")
        reset = lab.play("reset", lab_cluster="auto")
    assert reset.code == 0, reset.screen
    assert not (lab.state / "kubernetes.json").exists()
    assert lab.cluster not in lab.clusters()


@pytest.fixture
def cluster(kind_lab: KubernetesLab) -> KubernetesLab:
    """The lab with its cluster up and the image in it."""
    if not kind_lab.kubeconfig.exists():
        up = kind_lab.play(strategy="service")
        assert up.code == 0, up.screen
    return kind_lab
