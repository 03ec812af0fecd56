"""Limits reach the kernel: they are read back from the control group's own files.

Where the host runs version 1 or the hybrid layout, as the machines of CI do.
"""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, wait_until
from tests.support.disks import whole_disks

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox", "cgroup1"), pytest.mark.timeout(120)]

SLEEP = ("busybox", "sleep", "1000")
MIB = 1 << 20
FILTER = "%%7B%%22event%%22:%%5B%%22%s%%22%%5D%%7D"


def value(moord: Daemon, name: str, file: str) -> str:
    """Return a file of a container's control group; the controller is the first part of its name."""
    container_id = moord.inspect(name, ".Id")
    directory = Path("/sys/fs/cgroup", file.partition(".")[0], moord.cgroup_parent.strip("/"), container_id)
    return (directory / file).read_text().strip()


def happened(moord: Daemon, action: str) -> list[dict[str, Any]]:
    """Return the events of one kind so far."""
    # The command line cuts the present time to seconds, and so misses the latest.
    lines = moord.api("GET", f"/v1.45/events?since=1&until={int(time.time()) + 1}&filters=" + FILTER % action)
    return [json.loads(line) for line in lines.splitlines()]


@pytest.mark.needs("disk")
def test_every_limit_reaches_the_kernel(moord: Daemon) -> None:
    path, number = whole_disks()[0]
    moord.docker(
        "run", "-d", "--name", "all", "-m", "64m", "--memory-swap", "80m", "--memory-reservation", "32m",
        "--memory-swappiness", "7", "--cpu-shares", "300", "--cpus", "0.5", "--cpuset-cpus", "0", "--cpuset-mems", "0",
        "--pids-limit", "33", "--device-read-bps", f"{path}:1mb", "--device-write-iops", f"{path}:77",
        "--oom-score-adj", "321", "--shm-size", "8m", "--ulimit", "nofile=100:200", "--ulimit", "core=-1", *SLEEP,
    )  # fmt: skip
    found = {
        file: value(moord, "all", file)
        for file in (
            "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.swappiness",
            "cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpuset.cpus", "cpuset.mems", "pids.max",
            "blkio.throttle.read_bps_device", "blkio.throttle.write_iops_device",
        )
    }  # fmt: skip
    assert list(found.values()) == [
        str(64 * MIB), str(80 * MIB), str(32 * MIB), "7", "300", "50000", "100000", "0", "0", "33",
        f"{number} {MIB}", f"{number} 77",
    ]  # fmt: skip
    inside = moord.docker("exec", "all", "sh", "-c", "cat /proc/1/oom_score_adj; df -k /dev/shm | tail -1; ulimit -Hn")
    assert inside.split()[0] == "321"
    assert " 8192 " in inside
    limits = moord.docker("exec", "all", "cat", "/proc/1/limits").splitlines()
    assert [line.split()[3:5] for line in limits if "open files" in line] == [["100", "200"]]
    assert [line.split()[4:6] for line in limits if "core file" in line] == [["unlimited", "unlimited"]]


def test_names_of_ulimits_may_be_upper_case(moord: Daemon) -> None:
    limits = {"Ulimits": [{"Name": "NOFILE", "Soft": 11, "Hard": 22}]}
    body = {"Image": "busybox", "Cmd": ["sh", "-c", "ulimit -Sn; ulimit -Hn"], "HostConfig": limits}
    moord.api("POST", "/containers/create?name=shouted", body)
    assert moord.docker("start", "-a", "shouted").split() == ["11", "22"]


def test_memory_of_network_buffers(moord: Daemon) -> None:
    body = {"Image": "busybox", "Cmd": ["sleep", "100"], "HostConfig": {"KernelMemoryTCP": 9 * MIB}}
    assert json.loads(moord.api("POST", "/v1.41/containers/create?name=tcp", body))["Warnings"] == []
    moord.docker("start", "tcp")
    assert value(moord, "tcp", "memory.kmem.tcp.limit_in_bytes") == str(9 * MIB)


@pytest.mark.needs("disk")
def test_an_update_is_felt_at_once_and_kept_for_the_next_start(moord: Daemon) -> None:
    path, number = whole_disks()[0]
    for name in ("up1", "up2"):
        moord.docker("run", "-d", "--name", name, "-m", "64m", "--pids-limit", "9", "--cpus", "0.5", *SLEEP)
    refused = moord.run("update", "-m", "300m", "up1", "up2")
    assert (
        refused.stderr.count("smaller than already set memoryswap limit, update the memoryswap at the same time") == 2
    )
    change = ("-m", "300m", "--memory-swap", "-1", "--pids-limit", "-1", "--cpus", "0.25", "--cpuset-cpus", "0")
    assert moord.docker("update", *change, "--restart", "on-failure:3", "up1", "up2").split() == ["up1", "up2"]
    for _ in range(2):
        assert value(moord, "up1", "memory.limit_in_bytes") == str(300 * MIB)
        assert int(value(moord, "up1", "memory.memsw.limit_in_bytes")) > 1 << 60
        assert (value(moord, "up1", "pids.max"), value(moord, "up1", "cpuset.cpus")) == ("max", "0")
        assert value(moord, "up1", "cpu.cfs_quota_us") == "25000"
        moord.docker("restart", "-t", "0", "up1")
    assert moord.inspect("up1", ".HostConfig.RestartPolicy") == "{on-failure 3}"

    rates = {"BlkioDeviceReadBps": [{"Path": path, "Rate": 5000}], "Memory": 0}
    assert json.loads(moord.api("POST", "/containers/up2/update", rates)) == {"Warnings": None}
    assert value(moord, "up2", "blkio.throttle.read_bps_device") == f"{number} 5000"
    moord.api("POST", "/v1.54/containers/up2/update", {"BlkioDeviceReadBps": []})
    assert value(moord, "up2", "blkio.throttle.read_bps_device") == f"{number} 5000"
    moord.api("POST", "/containers/up2/update", {"BlkioDeviceReadBps": []})
    assert value(moord, "up2", "blkio.throttle.read_bps_device") == ""


def test_a_refused_update_changes_nothing(moord: Daemon) -> None:
    moord.docker("run", "-d", "--rm", "--name", "keep", "-m", "64m", *SLEEP)
    container_id = moord.inspect("keep", ".Id")
    moord.docker("exec", "-d", "keep", "sh", "-c", "head -c 30000000 /dev/zero | tail -c 30000000 | sleep 1000")
    wait_until(lambda: int(value(moord, "keep", "memory.usage_in_bytes")) > 25 * MIB, what="memory to be used")
    done = moord.run("update", "-m", "7m", "keep")
    assert f"Cannot update container {container_id}: " in done.stderr
    assert moord.inspect("keep", ".HostConfig.Memory") == str(64 * MIB)
    assert value(moord, "keep", "memory.limit_in_bytes") == str(64 * MIB)
    done = moord.run("update", "--restart", "always", "keep")
    assert "Restart policy cannot be updated because AutoRemove is enabled for the container" in done.stderr


def test_what_the_kernel_lacks_is_a_warning(moord: Daemon) -> None:
    body = {"Image": "busybox", "HostConfig": {"CpuPercent": 5, "CpuCount": 2, "OomKillDisable": True}}
    answer = json.loads(moord.api("POST", "/containers/create?name=warned", body))
    assert answer["Warnings"] == [
        "linux does not support CPU percent. Percent discarded.",
        (
            "OOM killer is disabled for the container, but no memory limit is set, "
            "this can result in the system running out of resources."
        ),
    ]
    shown = json.loads(moord.api("GET", "/containers/warned/json"))["HostConfig"]
    assert (shown["CpuPercent"], shown["CpuCount"], shown["OomKillDisable"]) == (0, 2, True)


def test_want_of_memory_kills_and_is_told(moord: Daemon) -> None:
    eater = ("busybox", "sh", "-c", "tail /dev/zero")
    assert moord.run("run", "--name", "full", "-m", "8m", "--memory-swap", "8m", *eater).returncode == 137
    assert moord.inspect("full", ".State.OOMKilled") == "true"
    # In an exec the container itself goes on.
    moord.docker("run", "-d", "--name", "half", "-m", "8m", "--memory-swap", "8m", *SLEEP)
    assert moord.run("exec", "half", "sh", "-c", "tail /dev/zero").returncode == 137
    assert moord.inspect("half", ".State.Running") == "true"
    ids = {moord.inspect(name, ".Id") for name in ("full", "half")}
    wait_until(lambda: ids <= {event["id"] for event in happened(moord, "oom")}, what="both to be told of")
    # Memory that a system call writes to would make that call fail.
    doubler = ("busybox", "sh", "-c", "x=abcdefgh; while :; do x=$x$x; done")
    moord.docker("run", "-d", "--name", "stuck", "-m", "8m", "--memory-swap", "8m", "--oom-kill-disable", *doubler)
    wait_until(lambda: "under_oom 1" in value(moord, "stuck", "memory.oom_control"), what="the limit to be hit")
    assert moord.inspect("stuck", ".State.Status") == "running"
    moord.docker("rm", "-f", "stuck")


def test_pausing(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "cold", *SLEEP)
    moord.docker("pause", "cold")
    assert value(moord, "cold", "freezer.state") == "FROZEN"
    container_id = moord.inspect("cold", ".Id")
    assert f"Container {container_id} is already paused" in moord.run("pause", "cold").stderr
    assert "container is paused and must be unpaused first" in moord.run("rm", "cold").stderr
    assert json.loads(moord.api("GET", "/containers/cold/stats?stream=0"))["pids_stats"]["current"] == 1
    moord.docker("update", "--pids-limit", "5", "cold")
    assert value(moord, "cold", "pids.max") == "5"
    moord.docker("stop", "-t", "0", "cold")
    assert moord.inspect("cold", ".State.Status") == "exited"
    assert f"container {container_id} is not running" in moord.run("pause", "cold").stderr
    for end in (("kill",), ("rm", "-f")):
        moord.docker("start", "cold")
        moord.docker("pause", "cold")
        moord.docker(*end, "cold")
    assert moord.docker("ps", "-aq") == ""
