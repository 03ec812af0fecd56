"""A probe for each flag of ``docker run`` and ``docker create``.

Most are a row: what is given, what the container then prints, or what inspect shows of it.
"""

import json
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.compatibility.probing import Bench, Probe, expect
from tests.support.daemon import IMAGE

#: Containers, networks and files that rows refer to; made by `prepare`.
TARGET: Final = "target"
NETWORK: Final = "compat"


@dataclass(frozen=True, slots=True)
class Row:
    """One flag.

    Attributes:
        given: The words on the command line; {files} is a directory of the probe's.
        script: What the container's shell runs.
        prints: A pattern of what it prints.
        shows: A template for inspect, and a pattern of what it gives.
        lacking: A pattern of the warning or the refusal of a kernel that cannot do it.
        refused: A pattern of the error that is all there is.
    """

    given: str
    script: str = "true"
    prints: str = ""
    shows: tuple[str, str] = ("", "")
    lacking: str = ""
    refused: str = ""


def _limit(v1: str, v2: str) -> str:
    """Return a script that prints a file of the container's control group, whatever the version."""
    return f"cat /sys/fs/cgroup/{v1} 2>/dev/null || cat /sys/fs/cgroup/{v2}"


def _device() -> str:
    """Return a block device of this host; a null device stands in for none, and shows so."""
    names = sorted(entry.name for entry in Path("/sys/block").iterdir()) if Path("/sys/block").is_dir() else []
    return next((f"/dev/{name}" for name in names if Path(f"/dev/{name}").is_block_device()), "/dev/null")


def _namespace(kind: str) -> str:
    return re.escape(str(Path(f"/proc/self/ns/{kind}").readlink()))


_DEVICE: Final = _device()
#: The docker command itself says so of daemons on Linux.
_WINDOWS: Final = "only supported on a Docker daemon running on windows"
_THROTTLE: Final = "no such device|not a block device|No such file"

ROWS: Final = {
    "--add-host": Row("--add-host db:10.0.0.7", "cat /etc/hosts", r"10\.0\.0\.7\s+db"),
    "--annotation": Row("--annotation k=v", shows=("{{.HostConfig.Annotations}}", "k:v")),
    "--attach": Row("-a stdout", shows=("{{.Config.AttachStdout}} {{.Config.AttachStderr}}", "^true false$")),
    "--blkio-weight": Row(
        "--blkio-weight 300", shows=("{{.HostConfig.BlkioWeight}}", "300"), lacking="Block I/O weight"
    ),
    "--blkio-weight-device": Row(
        f"--blkio-weight-device {_DEVICE}:300",
        shows=("{{json .HostConfig.BlkioWeightDevice}}", "300"),
        lacking=f"weight_device|{_THROTTLE}",
    ),
    "--cap-add": Row("--cap-add NET_ADMIN", "ip link set lo mtu 1400 && cat /sys/class/net/lo/mtu", "^1400$"),
    "--cap-drop": Row("--cap-drop CHOWN", "touch /tmp/x; chown 1 /tmp/x 2>/dev/null || echo refused", "refused"),
    "--cgroup-parent": Row("--cgroup-parent {cgroup}", shows=("{{.HostConfig.CgroupParent}}", "^/moor-e2e")),
    "--cgroupns": Row("--cgroupns private", "cat /proc/self/cgroup", ":/$"),
    "--cpu-count": Row("--cpu-count 1", refused=_WINDOWS),
    "--cpu-percent": Row("--cpu-percent 50", refused=_WINDOWS),
    "--cpu-period": Row("--cpu-period 50000", _limit("cpu/cpu.cfs_period_us", "cpu.max"), "50000"),
    "--cpu-quota": Row("--cpu-quota 25000", _limit("cpu/cpu.cfs_quota_us", "cpu.max"), "25000"),
    "--cpu-rt-period": Row(
        "--cpu-rt-period 1000000", shows=("{{.HostConfig.CpuRealtimePeriod}}", "1000000"), lacking="real-time"
    ),
    "--cpu-rt-runtime": Row(
        "--cpu-rt-period 1000000 --cpu-rt-runtime 0",
        shows=("{{.HostConfig.CpuRealtimePeriod}}", "1000000"),
        lacking="real-time",
    ),
    "--cpu-shares": Row("-c 512", _limit("cpu/cpu.shares", "cpu.weight"), "^(512|20|59)$"),
    "--cpus": Row("--cpus 0.5", _limit("cpu/cpu.cfs_quota_us", "cpu.max"), "50000"),
    "--cpuset-cpus": Row("--cpuset-cpus 0", "nproc", "^1$"),
    "--cpuset-mems": Row("--cpuset-mems 0", "grep Mems_allowed_list /proc/self/status", r":\s+0$"),
    "--device": Row("--device /dev/null:/dev/nil:r", "test -c /dev/nil && echo here", "here"),
    "--device-cgroup-rule": Row(
        "--device-cgroup-rule c_10:229_rwm", shows=("{{.HostConfig.DeviceCgroupRules}}", "c 10:229 rwm")
    ),
    **{
        f"--device-{way}": Row(
            f"--device-{way} {_DEVICE}:1048576",
            shows=(f"{{{{json .HostConfig.{field}}}}}", "1048576"),
            lacking=_THROTTLE,
        )
        for way, field in (
            ("read-bps", "BlkioDeviceReadBps"),
            ("read-iops", "BlkioDeviceReadIOps"),
            ("write-bps", "BlkioDeviceWriteBps"),
            ("write-iops", "BlkioDeviceWriteIOps"),
        )
    },
    "--dns": Row("--dns 10.0.0.53", "cat /etc/resolv.conf", r"nameserver 10\.0\.0\.53"),
    "--dns-option": Row("--dns 10.0.0.53 --dns-option ndots:2", "cat /etc/resolv.conf", "options.*ndots:2"),
    "--dns-search": Row("--dns-search example.org", "cat /etc/resolv.conf", r"search example\.org"),
    "--domainname": Row("--domainname example.org", "cat /proc/sys/kernel/domainname", r"example\.org"),
    "--entrypoint": Row("--entrypoint /bin/echo", "said", "sh -c said"),
    "--env": Row("-e A=1", "echo A is $A", "A is 1"),
    "--env-file": Row("--env-file {files}/env", "echo B is $B", "B is 2"),
    "--expose": Row("--expose 99", shows=("{{json .Config.ExposedPorts}}", "99/tcp")),
    "--gpus": Row("--gpus all", "echo $GPU", "^described", shows=("{{json .HostConfig.DeviceRequests}}", '"Count":-1')),
    "--group-add": Row("--group-add 2000", "id -G", r"\b2000\b"),
    "--health-interval": Row("--health-interval 7s", shows=("{{.Config.Healthcheck.Interval}}", "7s")),
    "--health-retries": Row("--health-retries 7", shows=("{{.Config.Healthcheck.Retries}}", "7")),
    "--health-start-interval": Row("--health-start-interval 7s", shows=("{{.Config.Healthcheck.StartInterval}}", "7s")),
    "--health-start-period": Row("--health-start-period 7s", shows=("{{.Config.Healthcheck.StartPeriod}}", "7s")),
    "--health-timeout": Row("--health-timeout 7s", shows=("{{.Config.Healthcheck.Timeout}}", "7s")),
    "--hostname": Row("-h box", "hostname", "^box$"),
    "--init": Row("--init", "cat /proc/1/comm", "init|tini|catatonit"),
    "--io-maxbandwidth": Row("--io-maxbandwidth 1m", refused=_WINDOWS),
    "--io-maxiops": Row("--io-maxiops 10", refused=_WINDOWS),
    "--ip": Row(f"--network {NETWORK} --ip 10.77.0.{{octet}}", "ip -4 addr show eth0", r"10\.77\.0\.{octet}/24"),
    "--ip6": Row(f"--network {NETWORK} --ip6 fd77::{{octet}}", "ip -6 addr show eth0", "fd77::{octet}/64"),
    "--ipc": Row("--ipc none", "grep -c ' /dev/shm ' /proc/mounts", "^0$"),
    "--isolation": Row("--isolation default", shows=("{{.HostConfig.Isolation}}", "default")),
    "--label": Row("-l a=b", shows=("{{.Config.Labels}}", "a:b")),
    "--label-file": Row("--label-file {files}/env", shows=("{{.Config.Labels}}", "B:2")),
    "--link": Row(f"--link {TARGET}:alias", "cat /etc/hosts", "alias"),
    "--link-local-ip": Row(
        f"--network {NETWORK} --link-local-ip 169.254.7.{{octet}}", "ip addr show eth0", r"169\.254\.7"
    ),
    "--log-driver": Row("--log-driver local", shows=("{{.HostConfig.LogConfig.Type}}", "local")),
    "--log-opt": Row("--log-opt max-size=1m", shows=("{{.HostConfig.LogConfig.Config}}", "max-size:1m")),
    "--mac-address": Row("--mac-address 02:42:0a:00:00:aa", "cat /sys/class/net/eth0/address", "^02:42:0a:00:00:aa$"),
    "--memory": Row("-m 64m", _limit("memory/memory.limit_in_bytes", "memory.max"), "67108864"),
    "--memory-reservation": Row(
        "--memory-reservation 32m", _limit("memory/memory.soft_limit_in_bytes", "memory.low"), "33554432"
    ),
    "--memory-swap": Row(
        "-m 64m --memory-swap 128m", shows=("{{.HostConfig.MemorySwap}}", "134217728"), lacking="swap"
    ),
    "--memory-swappiness": Row(
        "--memory-swappiness 10", shows=("{{.HostConfig.MemorySwappiness}}", "10"), lacking="swappiness"
    ),
    "--mount": Row("--mount type=tmpfs,dst=/scratch", "cat /proc/mounts", "tmpfs /scratch"),
    "--name": Row("", shows=("{{.Name}}", "^/probe-")),
    "--network": Row(f"--network {NETWORK}", "ip route", r"10\.77\.0\.0/24"),
    "--network-alias": Row(
        f"--network {NETWORK} --network-alias www{{octet}}", "nslookup www{octet}.", r"10\.77\.0\.\d+"
    ),
    "--no-healthcheck": Row("--no-healthcheck", shows=("{{.Config.Healthcheck.Test}}", "NONE")),
    "--oom-kill-disable": Row(
        "-m 64m --oom-kill-disable", shows=("{{.HostConfig.OomKillDisable}}", "true"), lacking="OomKillDisable"
    ),
    "--oom-score-adj": Row("--oom-score-adj 500", "cat /proc/self/oom_score_adj", "^500$"),
    "--pid": Row("--pid host", "readlink /proc/self/ns/pid", _namespace("pid")),
    "--pids-limit": Row("--pids-limit 50", _limit("pids/pids.max", "pids.max"), "^50$"),
    "--platform": Row("--platform linux", shows=("{{.Platform}}", "linux")),
    "--privileged": Row("--privileged", "grep Seccomp: /proc/self/status", r":\s+0$"),
    "--publish-all": Row("-P --expose 80", "sleep 600", shows=("{{json .NetworkSettings.Ports}}", "HostPort")),
    "--read-only": Row("--read-only", "touch /x 2>&1", "Read-only file system"),
    "--restart": Row("--restart on-failure:3", shows=("{{.HostConfig.RestartPolicy}}", "on-failure 3")),
    "--runtime": Row("--runtime runc", "echo ran", "ran"),
    "--security-opt": Row("--security-opt no-new-privileges", "grep NoNewPrivs /proc/self/status", r":\s+1$"),
    "--shm-size": Row("--shm-size 8m", "df -k /dev/shm", r"\b8192\b"),
    "--stop-signal": Row("--stop-signal SIGINT", shows=("{{.Config.StopSignal}}", "SIGINT")),
    "--stop-timeout": Row("--stop-timeout 7", shows=("{{.Config.StopTimeout}}", "7")),
    "--storage-opt": Row("--storage-opt size=1G", refused="storage-opt is supported only for overlay over xfs"),
    "--sysctl": Row("--sysctl net.ipv4.ip_default_ttl=77", "cat /proc/sys/net/ipv4/ip_default_ttl", "^77$"),
    "--tmpfs": Row("--tmpfs /scratch", "cat /proc/mounts", "tmpfs /scratch"),
    "--tty": Row("-t", "tty", "/dev/pts/0"),
    "--ulimit": Row("--ulimit nofile=1024:2048", "ulimit -n", "^1024$"),
    "--use-api-socket": Row("--use-api-socket", "test -S /var/run/docker.sock && echo here", "here"),
    "--user": Row("-u 1000:1000", "id -u", "^1000$"),
    "--userns": Row("--userns host", "readlink /proc/self/ns/user", _namespace("user")),
    "--uts": Row("--uts host", "readlink /proc/self/ns/uts", _namespace("uts")),
    "--volume": Row("-v {files}:/host:ro", "cat /host/env", "B=2"),
    "--volume-driver": Row(
        "--volume-driver local -v named:/data", shows=("{{range .Mounts}}{{.Driver}}{{end}}", "local")
    ),
    "--volumes-from": Row(f"--volumes-from {TARGET}", "cat /proc/mounts", " /shared "),
    "--workdir": Row("-w /tmp", "pwd", "^/tmp$"),
}


def prepare(bench: Bench) -> None:
    """Make what the rows refer to."""
    bench.file("env", "B=2\n")
    bench.docker(
        "network", "create", "--ipv6", "--subnet", "10.77.0.0/24", "--ip-range", "10.77.0.0/26",
        "--subnet", "fd77::/64", NETWORK,
    )  # fmt: skip
    bench.started("-v", "shared:/shared", name=TARGET)


def probes() -> Iterator[tuple[list[str], Probe]]:
    """Yield a probe for each flag of both commands."""
    for number, (flag, row) in enumerate(ROWS.items()):
        for command in ("run", "create"):
            octet = str(70 + number if command == "run" else 160 + number % 90)
            yield [f"container {command} {flag}"], partial(_row, command=command, row=row, octet=octet)
    for command in ("run", "create"):
        for flag, probe in _SPECIAL.items():
            yield [f"container {command} {flag}"], partial(probe, command=command)
    yield ["container run --detach"], _detach
    yield ["container run --detach-keys"], _detach_keys
    yield ["container run --sig-proxy"], _signals
    yield ["container run", "container create"], partial(_row, command="run", row=Row("", "echo ran", "ran"), octet="0")


def _row(bench: Bench, *, command: str, row: Row, octet: str) -> None:
    name = f"probe-{command}-{time.monotonic_ns()}"
    places = {"{files}": str(bench.files), "{octet}": octet, "{cgroup}": f"{bench.daemon.cgroup_parent}-sub"}
    given, script, prints = (_filled(text, places) for text in (row.given, row.script, row.prints))
    words = [word.replace("_", " ") if "rwm" in word else word for word in given.split()]
    if script == "sleep 600" and command == "run":
        words.append("-d")
    try:
        done = bench.daemon.run(command, "--name", name, *words, IMAGE, "sh", "-c", script, timeout=40)
        printed, said = done.stdout, done.stderr
        if command == "create" and done.returncode == 0:
            attach = [] if script == "sleep 600" else ["-a"]
            started = bench.daemon.run("start", *attach, name, timeout=40)
            printed, said = started.stdout, said + started.stderr
            done = started
        if row.refused:
            expect(row.refused, said)
            return
        if row.lacking and done.returncode != 0:
            expect(row.lacking, said)
            return
        assert re.search(prints, printed, re.MULTILINE), f"{prints!r} is not in {printed!r}: {said}"
        template, shown = row.shows
        if template:
            found = bench.inspect(name, template)
            expect(shown if not (row.lacking and "WARNING" in said) else "", found)
    finally:
        bench.daemon.run("rm", "-fv", name)


def _filled(text: str, places: dict[str, str]) -> str:
    for place, value in places.items():
        text = text.replace(place, value)
    return text


def _cidfile(bench: Bench, *, command: str) -> None:
    path = bench.files / f"cid-{command}"
    bench.docker(command, "--cidfile", str(path), IMAGE, "true")
    assert bench.inspect(path.read_text(), "{{.Id}}") == path.read_text()
    bench.docker("rm", path.read_text())


def _health(bench: Bench, *, command: str) -> None:
    name = f"probe-health-{command}"
    detached = ["-d"] if command == "run" else []
    bench.docker(
        command, *detached, "--name", name, "--health-cmd", "true", "--health-interval", "100ms", IMAGE, "sleep", "600"
    )
    if command == "create":
        bench.docker("start", name)
    bench.wait(lambda: bench.inspect(name, "{{.State.Health.Status}}") == "healthy", "a healthy container")
    bench.docker("rm", "-f", name)


def _help(bench: Bench, *, command: str) -> None:
    expect(f"Usage:  docker {command}", bench.out(command, "--help"))


def _interactive(bench: Bench, *, command: str) -> None:
    name = f"probe-stdin-{command}"
    if command == "create":
        bench.docker("create", "-i", "--name", name, IMAGE, "cat")
        assert bench.out("start", "-ai", name, data="typed\n") == "typed"
    else:
        assert bench.out("run", "-i", "--name", name, IMAGE, "cat", data="typed\n") == "typed"
    bench.docker("rm", name)


def _publish(bench: Bench, *, command: str) -> None:
    name, port = f"probe-port-{command}", "18080" if command == "run" else "18081"
    detached = ["-d"] if command == "run" else []
    bench.docker(command, *detached, "--name", name, "-p", f"127.0.0.1:{port}:80", IMAGE, "httpd", "-f", "-h", "/tmp")
    if command == "create":
        bench.docker("start", name)
    status = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--retry", "9", "--retry-all-errors", "-m", "20"]
    assert bench.daemon.in_network(*status, f"http://127.0.0.1:{port}/nothing") == "404"
    bench.docker("rm", "-f", name)


def _pull(bench: Bench, *, command: str) -> None:
    done = bench.docker(command, "--pull", "never", "nosuch:1", fails=True)
    expect("No such image: nosuch:1", done.stderr)
    assert "Unable to find" not in done.stderr
    done = bench.docker(command, "--rm", "--pull", "always", f"{bench.registry}/pulled:{command}", "true")
    expect("Pulling from|Pull complete|Image is up to date|Downloaded", done.stderr + done.stdout)


def _quiet(bench: Bench, *, command: str) -> None:
    done = bench.docker(command, "-q", "--rm", f"{bench.registry}/quiet:{command}", "true")
    assert "Pulling" not in done.stderr, done.stderr


def _rm(bench: Bench, *, command: str) -> None:
    name = f"probe-rm-{command}"
    bench.docker(command, "--rm", "--name", name, IMAGE, "true")
    if command == "create":
        bench.docker("start", "-a", name)
    bench.wait(lambda: not bench.out("ps", "-aq", "--filter", f"name={name}"), "the removal")


_SPECIAL: Final = {
    "--cidfile": _cidfile,
    "--health-cmd": _health,
    "--help": _help,
    "--interactive": _interactive,
    "--publish": _publish,
    "--pull": _pull,
    "--quiet": _quiet,
    "--rm": _rm,
}


def _detach(bench: Bench) -> None:
    printed = bench.out("run", "-d", "--name", "probe-detach", IMAGE, "sleep", "600")
    assert bench.inspect("probe-detach", "{{.Id}} {{.State.Running}}") == f"{printed} true"
    bench.docker("rm", "-f", "probe-detach")


def _detach_keys(bench: Bench) -> None:
    words = ("run", "-it", "--name", "probe-keys", "--detach-keys", "ctrl-x,x", IMAGE, "sh", "-c", "echo up; sleep 600")
    _, status = bench.typed(*words, keys=b"\x18x", until="up")
    assert status == 0
    assert bench.inspect("probe-keys", "{{.State.Running}}") == "true"
    bench.docker("rm", "-f", "probe-keys")


def _signals(bench: Bench) -> None:
    script = "trap 'echo caught; exit 3' TERM; echo up; while :; do sleep 0.1; done"
    client = bench.daemon.popen("run", "--name", "probe-signals", IMAGE, "sh", "-c", script)
    bench.wait(lambda: "up" in bench.daemon.run("logs", "probe-signals").stdout, "the trap")
    client.send_signal(signal.SIGTERM)
    output, _ = client.communicate(timeout=40)
    assert ("caught" in output, client.returncode) == (True, 3), output
    state = json.loads(bench.inspect("probe-signals", "{{json .State}}"))
    assert state["ExitCode"] == 3
    bench.docker("rm", "probe-signals")
