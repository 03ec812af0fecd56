"""Limits on a host with cgroup version 2 and all its controllers: read back from the group's own files.

`test_resources` asks the same of version 1, `test_unified_cgroups` of a version 2 that has few controllers.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, daemon, wait_until
from tests.support.disks import whole_disks

pytestmark = [
    pytest.mark.needs("root", "overlay", "docker-cli", "busybox", "cgroup2", "memory-cgroup"),
    pytest.mark.timeout(120),
]

SLEEP = ("busybox", "sleep", "1000")
MIB = 1 << 20
SYSTEMD = ("--exec-opt", "native.cgroupdriver=systemd")
EATER = ("busybox", "sh", "-c", "tail /dev/zero")


@pytest.fixture(
    scope="module", params=["cgroupfs", pytest.param("systemd", marks=pytest.mark.needs("systemd"))], autouse=True
)
def unified(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """A daemon for each way of making control groups."""
    with daemon() as made:
        if request.param == "systemd":
            made.cgroup_parent = "moortest.slice"
        made.start(*(SYSTEMD if request.param == "systemd" else ()))
        made.load_busybox()
        yield made
        made.assert_no_leaks()


@pytest.fixture
def moord(unified: Daemon) -> Iterator[Daemon]:
    yield unified
    if containers := unified.docker("ps", "-aq").split():
        unified.docker("rm", "-fv", *containers)


def group(moord: Daemon, name: str) -> Path:
    """Return the control group of a running container, as the kernel shows it."""
    lines = Path(f"/proc/{moord.inspect(name, '.State.Pid')}/cgroup").read_text().splitlines()
    return Path("/sys/fs/cgroup") / lines[-1].removeprefix("0::/")


def values(moord: Daemon, name: str, *files: str) -> list[str]:
    return [(group(moord, name) / file).read_text().strip() for file in files]


@pytest.mark.needs("disk")
def test_every_limit_reaches_the_kernel(moord: Daemon) -> None:
    path, number = whole_disks()[0]
    moord.docker(
        "run", "-d", "--name", "all", "-m", "64m", "--memory-swap", "80m", "--memory-reservation", "32m",
        "--cpu-shares", "1024", "--cpus", "0.5", "--cpuset-cpus", "0", "--cpuset-mems", "0",
        "--pids-limit", "33", "--device-read-bps", f"{path}:1mb", "--device-write-iops", f"{path}:77", *SLEEP,
    )  # fmt: skip
    found = values(moord, "all", "memory.max", "memory.swap.max", "memory.low", "cpu.max", "cpuset.cpus", "pids.max")
    assert found == [str(64 * MIB), str(16 * MIB), str(32 * MIB), "50000 100000", "0", "33"]
    assert values(moord, "all", "cpuset.mems") == ["0"]
    assert int(*values(moord, "all", "cpu.weight")) in {39, 100}  # what 1024 shares are by the two usual conversions
    throttled = (f"{number} rbps={MIB} wbps=max riops=max wiops=77",)
    assert values(moord, "all", "io.max") == [*throttled]
    # A namespace of its own: the container sees its group as the root, with the same limits.
    inside = moord.docker("exec", "all", "cat", "/proc/self/cgroup", "/sys/fs/cgroup/memory.max").split()
    assert inside == ["0::/", str(64 * MIB)]
    host = moord.docker("run", "--rm", "--cgroupns", "host", "busybox", "cat", "/proc/self/cgroup")
    assert host.startswith("0::/moor")


def test_an_exec_is_in_the_container_s_group(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "c1", "--pids-limit", "20", *SLEEP)
    moord.docker("exec", "-d", "c1", "sleep", "1001")
    assert len((group(moord, "c1") / "cgroup.procs").read_text().split()) == 2
    assert "sleep 1001" in moord.docker("top", "c1")


@pytest.mark.needs("disk")
def test_an_update_is_felt_at_once_and_kept_for_the_next_start(moord: Daemon) -> None:
    path, number = whole_disks()[0]
    moord.docker("run", "-d", "--name", "up", "-m", "64m", "--pids-limit", "9", "--cpus", "0.5", *SLEEP)
    change = ("-m", "300m", "--memory-swap", "-1", "--pids-limit", "-1", "--cpus", "0.25", "--cpuset-cpus", "0")
    assert moord.docker("update", *change, "up") == "up"
    for _ in range(2):
        found = values(moord, "up", "memory.max", "memory.swap.max", "pids.max", "cpuset.cpus", "cpu.max")
        assert found == [str(300 * MIB), "max", "max", "0", "25000 100000"]
        moord.docker("restart", "-t", "0", "up")
    rates = {"BlkioDeviceReadBps": [{"Path": path, "Rate": 5000}], "Memory": 0}
    assert json.loads(moord.api("POST", "/containers/up/update", rates)) == {"Warnings": None}
    assert values(moord, "up", "io.max") == [f"{number} rbps=5000 wbps=max riops=max wiops=max"]
    moord.api("POST", "/containers/up/update", {"BlkioDeviceReadBps": []})
    assert values(moord, "up", "io.max") == [""]


def test_want_of_memory_kills_and_is_told(moord: Daemon) -> None:
    limit = ("-m", "8m", "--memory-swap", "8m")
    assert moord.run("run", "--name", "full", *limit, *EATER).returncode == 137
    assert moord.inspect("full", ".State.OOMKilled") == "true"
    # In an exec the container itself goes on.
    moord.docker("run", "-d", "--name", "half", *limit, *SLEEP)
    assert moord.run("exec", "half", "sh", "-c", "tail /dev/zero").returncode == 137
    assert moord.inspect("half", ".State.Running") == "true"
    ids = {moord.inspect(name, ".Id") for name in ("full", "half")}

    def told() -> bool:
        filters = "%7B%22event%22:%5B%22oom%22%5D%7D"
        lines = moord.api("GET", f"/v1.45/events?since=1&until={int(time.time()) + 1}&filters={filters}").splitlines()
        return ids <= {json.loads(line)["id"] for line in lines}

    wait_until(told, what="both to be told of")


def test_samples_have_every_controller(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "busy", "-m", "64m", "--pids-limit", "9", *SLEEP)
    found = json.loads(moord.api("GET", "/containers/busy/stats?stream=0"))
    assert found["memory_stats"]["limit"] == 64 * MIB
    assert 0 < found["memory_stats"]["usage"] < 64 * MIB
    assert {"anon", "file", "inactive_file", "pgfault"} <= set(found["memory_stats"]["stats"])
    assert found["pids_stats"] == {"current": 1, "limit": 9}
    assert found["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert {"periods", "throttled_periods", "throttled_time"} == set(found["cpu_stats"]["throttling_data"])


def test_limits_and_pause_outlive_the_daemon(moord: Daemon, unified: Daemon) -> None:
    driver = moord.docker("info", "-f", "{{.CgroupDriver}}")
    moord.docker("run", "-d", "--name", "kept", "-m", "64m", *SLEEP)
    moord.docker("pause", "kept")
    assert values(moord, "kept", "cgroup.freeze", "memory.max") == ["1", str(64 * MIB)]
    unified.restart(*(SYSTEMD if driver == "systemd" else ()))
    assert moord.inspect("kept", ".State.Status") == "paused"
    moord.docker("update", "-m", "32m", "--memory-swap", "32m", "kept")
    assert values(moord, "kept", "cgroup.freeze", "memory.max") == ["1", str(32 * MIB)]
    moord.docker("rm", "-f", "kept")
