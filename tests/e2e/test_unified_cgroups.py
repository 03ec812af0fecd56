"""Containers on a host with cgroup version 2 alone: version 1 is hidden from the daemon.

Where the host's controllers are bound to version 1, version 2 has few: what needs the
others must be dropped with a warning; what needs none (devices, pause, kill) must work.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, daemon

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

RUN = ("run", "--rm", "--network", "none")
SLEEP = ("busybox", "sleep", "1000")


@pytest.fixture(scope="module")
def unified() -> Iterator[Daemon]:
    with daemon() as made:
        made.show_unified_cgroups_only()
        made.start()
        made.load_busybox()
        yield made
        made.assert_no_leaks()


def group(moord: Daemon, name: str) -> Path:
    """Return a container's control group, as the host sees it."""
    root = Path("/sys/fs/cgroup/unified")
    root = root if root.exists() else root.parent
    return root / moord.cgroup_parent.strip("/") / moord.inspect(name, ".Id")


def controllers(moord: Daemon) -> list[str]:
    return moord.in_network("cat", "/sys/fs/cgroup/cgroup.controllers").split()


def test_limits_are_set_or_dropped_with_a_warning(unified: Daemon) -> None:
    present = controllers(unified)
    flags = {"memory": ("-m", "64m"), "pids": ("--pids-limit", "9"), "cpuset": ("--cpuset-cpus", "0")}
    given = [word for words in flags.values() for word in words]
    done = unified.run("run", "-d", "--name", "few", "--network", "none", "--cpu-shares", "512", *given, *SLEEP)
    assert done.returncode == 0
    for controller, text in (("memory", "memory limit"), ("pids", "PIDs limit"), ("cpuset", "cpuset")):
        assert (f"Your kernel does not support {text}" in done.stderr) == (controller not in present)
    shown = json.loads(unified.api("GET", "/containers/few/json"))["HostConfig"]
    for controller, field in (("memory", "Memory"), ("pids", "PidsLimit"), ("cpu", "CpuShares")):
        assert bool(shown[field]) == (controller in present)
    for name, file, value in (("memory", "memory.max", f"{64 << 20}"), ("pids", "pids.max", "9")):
        assert name not in present or (group(unified, "few") / file).read_text().strip() == value
    changed = unified.run("update", "--pids-limit", "5", "few")
    assert ("PIDs limit discarded" in changed.stdout + changed.stderr) == ("pids" not in present)
    disabled = unified.run("create", "--oom-kill-disable", *SLEEP)
    assert "Your kernel does not support OomKillDisable. OomKillDisable discarded." in disabled.stderr
    unified.docker("rm", "-f", "few", disabled.stdout.strip())


def test_what_the_daemon_says_of_it(unified: Daemon) -> None:
    info = json.loads(unified.api("GET", "/info"))
    assert (info["CgroupVersion"], info["CgroupDriver"], info["OomKillDisable"]) == ("2", "cgroupfs", False)
    assert info["PidsLimit"] == ("pids" in controllers(unified))
    assert ("WARNING: No io.max (rbps) support" in info["Warnings"]) == ("io" not in controllers(unified))
    # A control group namespace of its own is the default here.
    assert unified.docker(*RUN, "busybox", "cat", "/proc/self/cgroup").splitlines()[-1].endswith("0::/")


@pytest.mark.parametrize("flags", [(), ("--privileged",), ("--cgroupns", "private")])
def test_a_container_sees_its_own_control_group_as_the_topmost(unified: Daemon, flags: tuple[str, ...]) -> None:
    script = "cat /proc/self/cgroup; ls -d /sys/fs/cgroup/cgroup.type; readlink /proc/self/ns/cgroup"
    told = unified.docker(*RUN, *flags, "busybox", "sh", "-c", script).splitlines()
    # Only a group below the top has a type: what is mounted is the container's.
    assert told[-3:-1] == ["0::/", "/sys/fs/cgroup/cgroup.type"]
    assert told[-1] != unified.in_network("readlink", "/proc/self/ns/cgroup").strip()


def test_the_host_s_control_groups_may_be_asked_for(unified: Daemon) -> None:
    shared = unified.docker(
        *RUN, "--cgroupns", "host", "busybox", "sh", "-c", "readlink /proc/self/ns/cgroup; cat /proc/self/cgroup"
    ).splitlines()
    assert shared[0] == unified.in_network("readlink", "/proc/self/ns/cgroup").strip()
    assert shared[-1].startswith(f"0::{unified.cgroup_parent}/")


def test_access_to_devices_is_a_program_of_the_kernel(unified: Daemon) -> None:
    probe = "mknod /k c 1 11; dd if=/k of=/dev/null bs=8192 count=1 2>&1; : > /k"
    closed = unified.run(*RUN, "busybox", "sh", "-c", probe)
    assert (closed.stdout + closed.stderr).count("Operation not permitted") == 2
    rule = ("--device-cgroup-rule", "c 1:11 r", "--cap-add", "SYSLOG")
    read_only = unified.run(*RUN, *rule, "busybox", "sh", "-c", probe)
    assert "+1 records out" in read_only.stdout or "1+0 records out" in read_only.stdout
    assert "can't create /k: Operation not permitted" in read_only.stderr
    node = ("--device", "/dev/loop-control:/dev/mine:r")
    opened = unified.run(*RUN, *node, "busybox", "sh", "-c", ": < /dev/mine && echo read; : > /dev/mine")
    assert (opened.stdout, "Operation not permitted" in opened.stderr) == ("read\n", True)
    assert unified.docker(*RUN, "--privileged", "busybox", "sh", "-c", ": < /dev/loop-control && echo ok") == "ok"
    # An exec is under the same rules.
    unified.docker("run", "-d", "--name", "kept", "--network", "none", *SLEEP)
    assert "Operation not permitted" in unified.run("exec", "kept", "sh", "-c", probe).stderr
    unified.docker("rm", "-f", "kept")


def test_pausing_and_killing(unified: Daemon) -> None:
    unified.docker("run", "-d", "--name", "cold", "--network", "none", *SLEEP)
    unified.docker("pause", "cold")
    assert (group(unified, "cold") / "cgroup.freeze").read_text() == "1\n"
    assert "frozen 1" in (group(unified, "cold") / "cgroup.events").read_text()
    assert unified.inspect("cold", ".State.Status") == "paused"
    unified.docker("unpause", "cold")
    assert "frozen 0" in (group(unified, "cold") / "cgroup.events").read_text()
    for end in (("stop", "-t", "0"), ("kill",), ("rm", "-f")):
        unified.docker("start", "cold")
        unified.docker("pause", "cold")
        unified.docker(*end, "cold")
    assert unified.docker("ps", "-aq") == ""


def test_samples(unified: Daemon) -> None:
    unified.docker("run", "-d", "--name", "busy", *SLEEP)
    found = json.loads(unified.api("GET", "/containers/busy/stats?stream=0"))
    assert found["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert "percpu_usage" not in found["cpu_stats"]["cpu_usage"]
    assert found["blkio_stats"]["io_serviced_recursive"] is None
    assert found["pids_stats"].get("limit") == (1 << 64) - 1
    assert "max_usage" not in found["memory_stats"]
    assert list(found["networks"]) == ["eth0"]
    assert "sleep 1000" in unified.docker("top", "busy")
    unified.docker("rm", "-f", "busy")
