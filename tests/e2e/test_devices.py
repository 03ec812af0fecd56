"""Devices: of the host by path, by rule, by their vendors' descriptions; and the daemon's own limits."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import CommandError, Daemon, daemon

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

SLEEP = ("busybox", "sleep", "1000")
RUN = ("run", "--rm", "--network", "none")


@pytest.fixture(scope="module")
def described() -> Iterator[Daemon]:
    """A daemon with directories of its own for descriptions of devices."""
    with daemon() as made:
        for name in ("static", "late"):
            (made.base / name).mkdir()
        directories = [f"--cdi-spec-dir={made.base / name}" for name in ("static", "late", "missing")]
        made.start(*directories, "--default-ulimit", "nofile=64:128", "--default-shm-size", "4m")
        made.load_busybox()
        yield made
        made.assert_no_leaks()


def device(name: str, **edits: Any) -> dict[str, Any]:
    return {"name": name, "containerEdits": edits}


def describe(moord: Daemon, file: str, *devices: dict[str, Any], kind: str = "vendor.com/thing", **edits: Any) -> None:
    """Write a description of devices; a YAML parser reads JSON too."""
    found = {"cdiVersion": "0.7.0", "kind": kind, "devices": devices, "containerEdits": edits}
    (moord.base / file).write_text(json.dumps(found))


def run(moord: Daemon, script: str, *requests: dict[str, Any], **host_config: Any) -> str:
    """Run a shell with devices asked for over the API and return what it prints; errors are raised."""
    host_config = {"DeviceRequests": list(requests), "NetworkMode": "none", **host_config}
    body = {"Image": "busybox", "Cmd": ["sh", "-c", script], "HostConfig": host_config}
    created = json.loads(moord.api("POST", "/containers/create", body))["Id"]
    try:
        moord.api("POST", f"/containers/{created}/start")
        moord.api("POST", f"/containers/{created}/wait")
        return moord.docker("logs", created)
    finally:
        moord.docker("rm", "-f", created)


def cdi(*names: str) -> dict[str, Any]:
    return {"Driver": "cdi", "DeviceIDs": list(names)}


def test_devices_by_path(moord: Daemon, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name, minor in (("zero", 5), ("below/null", 3)):
        os.mknod(tmp_path / name, stat.S_IFCHR | 0o640, os.makedev(1, minor))
    (tmp_path / "link").symlink_to("zero")
    (tmp_path / "file").touch()
    # A link leads to the device; a directory gives all below it, without what is no device.
    flags = ("--device", f"{tmp_path}/link:/dev/linked:r", "--device", f"{tmp_path}:/dev/all")
    script = "head -c 2 /dev/linked | wc -c; echo x > /dev/all/below/null; find /dev/all -type c | sort; ls /dev/all"
    assert moord.docker(*RUN, *flags, "busybox", "sh", "-c", script).split() == [
        "2", "/dev/all/below/null", "/dev/all/zero", "below", "zero",
    ]  # fmt: skip
    for path, text in ((tmp_path / "none", "no such file or directory"), (tmp_path / "file", "not a device node")):
        done = moord.run(*RUN, "--device", str(path), "busybox", "true")
        assert f'error gathering device information while adding custom device "{path}": {text}' in done.stderr
    # The command line never sends a mapping without a path.
    nowhere = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Devices": [{"PathInContainer": "/dev/x"}]}}
    moord.api("POST", "/containers/create?name=nowhere", nowhere)
    refused = moord.run("start", "nowhere").stderr
    assert 'error gathering device information while adding custom device "": no such file or directory' in refused


def test_access_to_devices(moord: Daemon) -> None:
    read = "mknod /dev/mem c 1 1; head -c 1 /dev/mem | wc -c"
    assert "Operation not permitted" in moord.run(*RUN, "busybox", "sh", "-c", read).stderr
    done = moord.run(*RUN, "--device", "/dev/kmsg:/dev/log:w", "busybox", "sh", "-c", "head -c 1 /dev/log")
    assert "Operation not permitted" in done.stderr
    rule = ("--device-cgroup-rule", "c 1:11 r", "--cap-add", "SYSLOG")
    reader = "mknod /k c 1 11; dd if=/k of=/dev/null bs=8192 count=1 2>&1; echo x > /k"
    shown = moord.run(*RUN, *rule, "busybox", "sh", "-c", reader)
    assert "1+0 records out" in shown.stdout + shown.stderr or "0+1 records out" in shown.stdout + shown.stderr
    assert "can't create /k: Operation not permitted" in shown.stderr
    # All devices of the host, and one more name for one of them.
    privileged = (*RUN, "--privileged", "--device", "/dev/null:/dev/mine")
    names = moord.docker(*privileged, "busybox", "ls", "/dev").split()
    assert {"mine", "kmsg", "loop-control"} & set(os.listdir("/dev")) <= set(names)  # noqa: PTH208
    assert "mine" in names


def test_devices_that_a_vendor_describes(described: Daemon, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("data")
    mark = tmp_path / "mark"
    node = {"path": "/dev/thing0", "hostPath": "/dev/loop-control", "permissions": "r"}
    describe(
        described, "static/thing.json",
        device("a", deviceNodes=[node], env=["WHO=a"], additionalGids=[77]),
        device("b", env=["WHO=b", "B=1"], mounts=[
            {"hostPath": str(tmp_path / "data"), "containerPath": "/opt/data", "options": ["ro", "bind"]},
        ]),
        env=["SHARED=1"],
        hooks=[{"hookName": "createRuntime", "path": "/bin/sh", "args": ["sh", "-c", f"cat > {mark}"]}],
    )  # fmt: skip
    script = "env | grep -E '^(WHO|B|SHARED)=' | sort; id -G; cat /opt/data; : < /dev/thing0 && echo 3; "
    script += "exec 2>&1; : > /dev/thing0"
    asked = cdi("vendor.com/thing=a", "vendor.com/thing=b")
    *found, refused = run(described, script, asked).splitlines()
    assert found == ["B=1", "SHARED=1", "WHO=b", "0 77", "data3"]
    assert "Operation not permitted" in refused
    assert json.loads(mark.read_text())["status"] == "creating"
    info = json.loads(described.api("GET", "/info"))
    # Other tests describe devices of other vendors.
    found_here = [each for each in info["DiscoveredDevices"] if each["ID"].startswith("vendor.com/thing")]
    assert found_here == [{"Source": "cdi", "ID": f"vendor.com/thing={name}"} for name in "ab"]
    assert info["CDISpecDirs"] == [str(described.base / name) for name in ("static", "late", "missing")]
    assert "DiscoveredDevices" not in json.loads(described.api("GET", "/v1.49/info"))
    # A later directory wins, also over a device that is described twice in one.
    (described.base / "late/thing.yaml").write_text(
        "cdiVersion: '0.5.0'\nkind: vendor.com/thing\ndevices:\n- name: b\n  containerEdits:\n    env: [WHO=late]\n"
    )
    describe(described, "static/again.json", device("a", env=["WHO=again"]), device("b", env=["WHO=again"]))
    assert run(described, "echo $WHO", cdi("vendor.com/thing=b")) == "late"
    for names, text in (
        (["vendor.com/thing=a"], "CDI device injection failed: unresolvable CDI devices vendor.com/thing=a"),
        (["x.com/y=1", "x.com/y=2"], "CDI device injection failed: unresolvable CDI devices x.com/y=1, x.com/y=2"),
    ):
        with pytest.raises(CommandError, match=text):
            run(described, "true", cdi(*names))
    warnings = " ".join(json.loads(described.api("GET", "/info"))["Warnings"])
    assert 'conflicting device "vendor.com/thing=a"' in warnings


def test_graphics_processors(described: Daemon) -> None:
    gpus = described.run(*RUN, "--gpus", "all", "busybox", "true")
    assert 'could not select device driver "" with capabilities: [[gpu]]' in gpus.stderr
    assert gpus.returncode == 125
    env = [device(name, env=[f"GPU{name.upper()}=1"]) for name in ("0", "1", "all")]
    describe(described, "static/gpu.json", *env, kind="nvidia.com/gpu")
    show = ("busybox", "sh", "-c", "env | grep ^GPU | sort")
    for flag, found in (
        ("all", "GPUALL=1"),
        ("2", "GPU0=1\nGPU1=1"),
        ("device=1", "GPU1=1"),
        ("driver=nvidia", "GPU0=1"),
    ):
        assert described.docker(*RUN, "--gpus", flag, *show) == found
    both = described.run(*RUN, "--gpus", "device=0,count=2", *show)
    assert "cannot set both Count and DeviceIDs on device request" in both.stderr
    other = described.run(*RUN, "--gpus", "driver=other", *show)
    assert 'could not select device driver "other" with capabilities: [[gpu]]' in other.stderr


def test_limits_of_the_daemon(described: Daemon) -> None:
    script = "ulimit -Sn; ulimit -Hn; df -k /dev/shm | tail -1"
    found = described.docker(*RUN, "busybox", "sh", "-c", script).split()
    assert (found[:2], found[3]) == (["64", "128"], "4096")
    assert described.docker(*RUN, "--ulimit", "nofile=70", "busybox", "sh", "-c", script).split()[:2] == ["70", "70"]


@pytest.mark.needs("cgroup1")
def test_realtime_of_the_daemon() -> None:
    with daemon() as made:
        made.start("--cpu-rt-runtime", "30000", "--cpu-rt-period", "1000000")
        made.load_busybox()
        made.docker("run", "-d", "--name", "rt", "--network", "none", "--cpu-rt-runtime", "20000", *SLEEP)
        directory = Path("/sys/fs/cgroup/cpu", made.cgroup_parent.strip("/"))
        assert (directory / "cpu.rt_runtime_us").read_text() == "30000\n"
        container_id = made.inspect("rt", ".Id")
        assert (directory / container_id / "cpu.rt_runtime_us").read_text() == "20000\n"
        done = made.run("create", "--cpu-rt-runtime", "20000", "--cpu-rt-period", "10000", "busybox")
        assert "cpu real-time runtime cannot be higher than cpu real-time period" in done.stderr
