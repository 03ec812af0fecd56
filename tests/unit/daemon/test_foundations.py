"""What the daemon does about its own cgroup."""

import errno
import logging
from pathlib import Path

import pytest

from moorage.cgroups.paths import Hierarchy, Layout
from moorage.daemon.config import DaemonConfig
from moorage.daemon.foundations import container_groups

UNIFIED = Hierarchy(version=2, controllers=(), mount_point="/sys/fs/cgroup", root="/")
V1 = Hierarchy(version=1, controllers=("memory",), mount_point="/sys/fs/cgroup/memory", root="/")


@pytest.mark.parametrize(("layout", "left"), [(Layout([], UNIFIED), [UNIFIED]), (Layout([V1], UNIFIED), [])])
def test_topmost_cgroup_is_left_where_containers_have_their_limits_below_it(
    monkeypatch: pytest.MonkeyPatch, layout: Layout, left: list[Hierarchy]
) -> None:
    evacuated: list[Hierarchy] = []
    monkeypatch.setattr("moorage.cgroups.v2.evacuate", evacuated.append)
    container_groups(config(), layout)
    assert evacuated == left


def test_cgroups_that_cannot_be_changed_do_not_keep_the_daemon_from_starting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_hierarchy: Hierarchy) -> bool:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("moorage.cgroups.v2.evacuate", refuse)
    with caplog.at_level(logging.WARNING):
        container_groups(config(), Layout([], UNIFIED))
    assert "Read-only file system" in caplog.text


def config() -> DaemonConfig:
    return DaemonConfig(hosts=(), data_root=Path("/nowhere/data"), exec_root=Path("/nowhere/run"))
