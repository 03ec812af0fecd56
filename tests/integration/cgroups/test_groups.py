"""A container's cgroup on this host's own layout, and on its unified hierarchy where there is one."""

import contextlib
import os
import select
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moorage.cgroups import events
from moorage.cgroups.errors import CgroupError, MissingControllerError
from moorage.cgroups.group import detect, open_group
from moorage.cgroups.paths import Layout, Mode
from moorage.cgroups.v1 import V1Group
from moorage.cgroups.v2 import V2Group
from moorage.kernel import pidfd
from moorage.kernel.namespaces import clone3

pytestmark = pytest.mark.needs("root")

Group = V1Group | V2Group


@contextlib.contextmanager
def made(layout: Layout) -> Iterator[Group]:
    parent = f"/moorage-test-{uuid.uuid4().hex[:8]}"
    group = open_group(f"{parent}/c1", layout=layout)
    group.create()
    try:
        yield group
    finally:
        group.kill()
        assert group.delete(patience=2)
        assert open_group(parent, layout=layout).delete()
    assert not group.exists()


@pytest.fixture
def host() -> Iterator[Group]:
    with made(detect()) as group:
        yield group


@pytest.fixture(params=["host", "unified"])
def group(request: pytest.FixtureRequest) -> Iterator[Group]:
    layout = detect()
    if request.param == "unified":
        if layout.mode is Mode.V2 or layout.unified is None:
            pytest.skip("no second hierarchy")
        layout = Layout((), layout.unified)
    with made(layout) as group:
        yield group


@contextlib.contextmanager
def running(body: Callable[[], object] = signal.pause, *, group: Group) -> Iterator[tuple[int, int]]:
    """Run `body` in a child inside the group."""
    reader, writer = os.pipe()
    pid, fd = clone3()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        with contextlib.suppress(BaseException):
            body()
        os._exit(0)
    os.close(reader)
    group.add(pid)
    os.close(writer)
    try:
        yield pid, fd
    finally:
        with contextlib.suppress(ProcessLookupError):
            pidfd.pidfd_send_signal(fd, signal.SIGKILL)
        group.thaw()
        with contextlib.suppress(ChildProcessError):
            pidfd.wait(fd)
        os.close(fd)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def test_a_process_is_moved_in(group: Group) -> None:
    with running(group=group) as (pid, _):
        assert group.procs() == [pid]


def test_making_twice_changes_nothing(group: Group) -> None:
    group.create()
    assert group.exists()


def test_all_stand_still_until_thawed(group: Group) -> None:
    def count() -> None:
        while True:
            os.getppid()

    with running(count, group=group) as (pid, _):
        assert not group.is_frozen()
        group.freeze()
        assert group.is_frozen()
        used = group.stats().cpu.total
        assert group.stats().cpu.total - used < 5_000_000
        group.thaw()
        assert not group.is_frozen()
        assert state_of(pid) in "RS"


def test_kill_ends_also_what_is_frozen(group: Group) -> None:
    with running(group=group) as (_, fd):
        group.freeze()
        group.kill()
        assert pidfd.wait(fd) == 128 + signal.SIGKILL


def test_a_signal_for_all_leaves_still_what_stood_still(group: Group) -> None:
    with running(group=group):
        group.freeze()
        group.kill(signal.SIGHUP)
        assert group.is_frozen()
        group.thaw()


def test_another_signal_reaches_all(group: Group) -> None:
    with running(group=group) as (_, first), running(group=group) as (_, second):
        group.kill(signal.SIGTERM)
        assert pidfd.wait(first) == pidfd.wait(second) == 128 + signal.SIGTERM


def test_a_group_with_processes_is_not_deleted_and_does_not_block(group: Group) -> None:
    with running(group=group):
        assert not group.delete(patience=0)
        assert group.exists()


def test_groups_made_inside_go_with_it(group: Group) -> None:
    for directory in set(group.directories.values()):
        Path(directory, "inner").mkdir()
    assert group.delete()
    assert not group.exists()
    group.create()


def test_deleting_what_is_gone_succeeds(group: Group) -> None:
    assert group.delete()
    assert group.delete()
    assert group.procs() == []
    group.kill()
    group.create()


def test_a_clone_starts_inside_where_the_kernel_can_do_that(group: Group) -> None:
    directory_fd = group.open_fd()
    if directory_fd < 0:
        assert isinstance(group, V1Group)
        return
    pid, fd = clone3(cgroup_fd=directory_fd)
    if pid == 0:
        signal.pause()
        os._exit(0)
    os.close(directory_fd)
    assert group.procs() == [pid]
    group.kill()
    assert pidfd.wait(fd) == 137
    os.close(fd)


DEVICES: list[dict[str, Any]] = [
    {"allow": False, "access": "rwm"},
    {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
    {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "r"},
]


def may_open(path: str, flags: int) -> bool:
    try:
        os.close(os.open(path, flags))
    except PermissionError:
        return False
    return True


def test_only_listed_devices_can_be_opened(group: Group) -> None:
    if "devices" not in group.directories and group.version == 1:
        pytest.skip("no devices controller")
    group.apply({"devices": DEVICES})
    reader, writer = os.pipe()

    def body() -> None:
        verdicts = [
            may_open("/dev/null", os.O_RDWR),
            may_open("/dev/zero", os.O_RDONLY),
            may_open("/dev/zero", os.O_WRONLY),
            may_open("/dev/full", os.O_RDONLY),
        ]
        os.write(writer, bytes(verdicts))

    with running(body, group=group):
        assert list(os.read(reader, 9)) == [True, True, False, False]
    os.close(reader)
    os.close(writer)


def test_device_rules_are_replaced(group: Group) -> None:
    if group.version == 1:
        pytest.skip("v1 adds to its list")
    group.apply({"devices": DEVICES})
    group.apply({"devices": [*DEVICES, {"allow": True, "type": "c", "major": 1, "minor": 7, "access": "r"}]})
    reader, writer = os.pipe()
    with running(lambda: os.write(writer, bytes([may_open("/dev/full", os.O_RDONLY)])), group=group):
        assert os.read(reader, 1) == b"\1"
    os.close(reader)
    os.close(writer)


def test_limits_are_set_raised_and_lowered_again(host: Group) -> None:
    for megabytes in (64, 256, 32):
        size = megabytes << 20
        host.apply(
            {
                "memory": {"limit": size, "swap": 2 * size},
                "cpu": {"shares": 512, "quota": 1000 * megabytes, "period": 100_000},
                "pids": {"limit": megabytes},
            }
        )
        stats = host.stats()
        assert stats.memory.limit == size
        assert stats.pids_limit == megabytes
    host.apply({"memory": {"limit": -1}, "pids": {"limit": 0}})
    assert host.stats().memory.limit is None


def test_a_limit_below_the_usage_is_refused_when_that_is_asked_for(host: Group) -> None:
    def use() -> None:
        kept = bytearray(8 << 20)
        kept[::4096] = b"x" * len(kept[::4096])
        os.write(writer, b"x")
        signal.pause()

    reader, writer = os.pipe()
    with running(use, group=host):
        os.read(reader, 1)
        with pytest.raises(CgroupError, match="below the current usage"):
            host.apply({"memory": {"limit": 1 << 20, "checkBeforeUpdate": True}})
    os.close(reader)
    os.close(writer)


def test_more_processes_than_the_limit_fail_to_start(host: Group) -> None:
    host.apply({"pids": {"limit": 1}})
    reader, writer = os.pipe()

    def body() -> None:
        try:
            os.fork()
        except BlockingIOError:
            os.write(writer, b"refused")

    with running(body, group=host):
        assert os.read(reader, 10) == b"refused"
    os.close(reader)
    os.close(writer)


def test_a_kill_for_want_of_memory_is_told_and_counted(host: Group) -> None:
    host.apply({"memory": {"limit": 8 << 20, "swap": 8 << 20}})
    events_fd = host.events_fd()
    assert host.oom_kill_count() == 0

    def devour() -> None:
        hoard = bytearray(64 << 20)
        hoard[::4096] = b"x" * len(hoard[::4096])

    with running(devour, group=host) as (_, fd):
        assert pidfd.wait(fd) == 137
        poller = select.poll()
        poller.register(events_fd, select.POLLIN)
        assert poller.poll(5000)
        events.drain(events_fd)
        assert host.oom_kill_count() == 1
    os.close(events_fd)


def test_usage_is_counted(host: Group) -> None:
    def work() -> None:
        for _ in range(200_000):
            os.getppid()
        os.write(writer, b"x")
        signal.pause()

    reader, writer = os.pipe()
    with running(work, group=host):
        os.read(reader, 1)
        stats = host.stats()
        assert stats.cpu.total > 1_000_000
        assert stats.pids == 1
        assert stats.memory.detail
    os.close(reader)
    os.close(writer)


def test_a_value_that_needs_a_missing_controller_is_named(host: Group) -> None:
    if "rdma" in host.directories:
        pytest.skip("this host has it")
    with pytest.raises(MissingControllerError, match=r"'rdma'.*rdma\.max"):
        host.apply({"rdma": {"mlx": {"hcaHandles": 1}}})


def test_a_value_that_the_kernel_refuses_is_named_with_its_file(host: Group) -> None:
    with pytest.raises(CgroupError, match=r"failed to write '9000' to .*cpuset\.cpus"):
        host.apply({"cpu": {"cpus": "9000"}})


def test_a_process_that_has_ended_cannot_be_moved_in(group: Group) -> None:
    pid, fd = clone3()
    if pid == 0:
        os._exit(0)
    pidfd.wait(fd)
    os.close(fd)
    with pytest.raises(ProcessLookupError):
        group.add(pid)
