"""Every field of a creation request comes back in inspect, or is refused by its name."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.daemon import IMAGE, CommandError, Daemon

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

FACTS: Final = Path(__file__).parents[1] / "unit" / "api" / "fields.tsv"

#: What is sent in each field of the configuration.
CONFIG: Final[dict[str, Any]] = {
    "ArgsEscaped": True,
    "AttachStderr": True,
    "AttachStdin": True,
    "AttachStdout": True,
    "Cmd": ["sleep", "9"],
    "Domainname": "example.org",
    "Entrypoint": ["/bin/env"],
    "Env": ["A=1", "PATH=/bin"],
    "ExposedPorts": {"81/udp": {}},
    "Healthcheck": {
        "Test": ["CMD", "true"], "Interval": 10**9, "Timeout": 2 * 10**9, "StartPeriod": 3 * 10**9,
        "StartInterval": 4 * 10**9, "Retries": 5,
    },
    "Hostname": "box",
    "Image": IMAGE,
    "Labels": {"a": "b"},
    "NetworkDisabled": True,
    "OnBuild": ["RUN x"],
    "OpenStdin": True,
    "Shell": ["/bin/sh", "-c"],
    "StdinOnce": True,
    "StopSignal": "SIGINT",
    "StopTimeout": 7,
    "Tty": True,
    "User": "1000:1000",
    "Volumes": {"/data": {}},
    "WorkingDir": "/tmp",
}  # fmt: skip

DEVICE: Final = [{"Path": "/dev/null", "Rate": 1048576}]
#: The same of the host configuration.
HOST_CONFIG: Final[dict[str, Any]] = {
    "Annotations": {"k": "v"},
    "AutoRemove": True,
    "Binds": ["/tmp:/host:ro"],
    "BlkioDeviceReadBps": DEVICE,
    "BlkioDeviceReadIOps": DEVICE,
    "BlkioDeviceWriteBps": DEVICE,
    "BlkioDeviceWriteIOps": DEVICE,
    "BlkioWeight": 300,
    "BlkioWeightDevice": [{"Path": "/dev/null", "Weight": 300}],
    "CapAdd": ["CAP_NET_ADMIN"],
    "CapDrop": ["CAP_CHOWN"],
    "Cgroup": "",
    "CgroupParent": "/elsewhere",
    "CgroupnsMode": "host",
    "ConsoleSize": [24, 80],
    "ContainerIDFile": "/tmp/id",
    "CpuCount": 1,
    "CpuPercent": 50,
    "CpuPeriod": 100000,
    "CpuQuota": 50000,
    "CpuRealtimePeriod": 1000000,
    "CpuRealtimeRuntime": 950000,
    "CpuShares": 512,
    "CpusetCpus": "0",
    "CpusetMems": "0",
    "DeviceCgroupRules": ["c 1:3 rwm"],
    "DeviceRequests": [{"Driver": "", "Count": -1, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}],
    "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nil", "CgroupPermissions": "r"}],
    "Dns": ["10.0.0.53"],
    "DnsOptions": ["ndots:2"],
    "DnsSearch": ["example.org"],
    "ExtraHosts": ["db:10.0.0.7"],
    "GroupAdd": ["2000"],
    "IOMaximumBandwidth": 1000,
    "IOMaximumIOps": 100,
    "Init": True,
    "IpcMode": "shareable",
    "Isolation": "default",
    "Links": ["target:alias"],
    "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
    "MaskedPaths": ["/proc/kcore"],
    "Memory": 67108864,
    "MemoryReservation": 33554432,
    "MemorySwap": 134217728,
    "MemorySwappiness": 10,
    "Mounts": [{"Type": "tmpfs", "Target": "/scratch", "TmpfsOptions": {"SizeBytes": 1048576, "Mode": 448}}],
    "NanoCpus": 500000000,
    "NetworkMode": "none",
    "OomKillDisable": False,
    "OomScoreAdj": 500,
    "PidMode": "host",
    "PidsLimit": 50,
    "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "0"}]},
    "Privileged": True,
    "PublishAllPorts": True,
    "ReadonlyPaths": ["/proc/bus"],
    "ReadonlyRootfs": True,
    "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
    "Runtime": "runc",
    "SecurityOpt": ["no-new-privileges"],
    "ShmSize": 1048576,
    "StorageOpt": {"size": "1G"},
    "Sysctls": {"net.ipv4.ip_forward": "1"},
    "Tmpfs": {"/run": "size=1m"},
    "UTSMode": "host",
    "Ulimits": [{"Name": "nofile", "Hard": 2048, "Soft": 1024}],
    "UsernsMode": "private",
    "VolumeDriver": "local",
    "VolumesFrom": ["target"],
}

ENDPOINT: Final[dict[str, Any]] = {
    "Aliases": ["www"],
    "DriverOpts": {"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.log_martians=1"},
    "GwPriority": 5,
    "IPAMConfig": {"IPv4Address": "10.77.0.9"},
    "Links": ["target:alias"],
    "MacAddress": "02:42:0a:4d:00:09",
}
#: What an endpoint got; it is not asked for.
REPORTED: Final = frozenset(
    """
    DNSNames EndpointID Gateway GlobalIPv6Address GlobalIPv6PrefixLen IPAddress IPPrefixLen IPv6Gateway NetworkID
    """.split()
)

#: What this engine cannot do, and the words in which it says so.
REFUSED: Final = {
    "IOMaximumBandwidth": "QoS maximum bandwidth",
    "IOMaximumIOps": "QoS maximum IOPs",
    "StorageOpt": "storage-opt",
    "UsernsMode": "user namespace mode",
}
#: A limit that a kernel lacks is dropped with a warning that has this word, or refused so at the start.
DROPPED: Final = {
    "BlkioWeight": "Block I/O weight",
    "BlkioWeightDevice": "Block I/O weight_device",
    "CpuPercent": "CPU percent",
    "CpuRealtimePeriod": "CPU real-time",
    "CpuRealtimeRuntime": "CPU real-time",
    "MemorySwap": "swap",
    "MemorySwappiness": "swappiness",
}
#: Other fields that a field needs beside it.
BESIDE: Final = {
    "CpuRealtimeRuntime": {"CpuRealtimePeriod": 1000000},
    "MemorySwap": {"Memory": 67108864},
    "MemoryReservation": {"Memory": 67108864},
}


def facts(definition: str) -> frozenset[str]:
    with FACTS.open(newline="") as file:
        rows = {row["definition"]: row["fields"] for row in csv.DictReader(file, delimiter="\t")}
    return frozenset(rows[definition].split(","))


def test_every_field_has_a_sample() -> None:
    assert CONFIG.keys() == facts("ContainerConfig")
    assert HOST_CONFIG.keys() == facts("HostConfig")
    assert ENDPOINT.keys() | REPORTED == facts("EndpointSettings")


@pytest.fixture(scope="module")
def engine(shared: Daemon) -> Iterator[Daemon]:
    """An engine with a container that others may refer to."""
    shared.docker("create", "--name", "target", IMAGE, "true")
    yield shared
    shared.docker("rm", "-f", "target")


def round_trip(engine: Daemon, body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Create a container, remove it, and return what inspect showed and what create warned of."""
    created = json.loads(engine.api("POST", "/containers/create", {"Image": IMAGE, "Cmd": ["true"], **body}))
    try:
        return json.loads(engine.api("GET", f"/containers/{created['Id']}/json")), " ".join(created["Warnings"] or [])
    finally:
        engine.api("DELETE", f"/containers/{created['Id']}?v=1")


@pytest.mark.parametrize("name", CONFIG)
def test_configuration(engine: Daemon, name: str) -> None:
    shown, _ = round_trip(engine, {name: CONFIG[name]})
    assert shown["Config"][name] == CONFIG[name]


@pytest.mark.parametrize("name", HOST_CONFIG)
def test_host_configuration(engine: Daemon, name: str) -> None:
    body = {"HostConfig": {name: HOST_CONFIG[name], **BESIDE.get(name, {})}}
    if name in REFUSED:
        with pytest.raises(CommandError, match=REFUSED[name]):
            round_trip(engine, body)
        return
    try:
        shown, warnings = round_trip(engine, body)
    except CommandError as error:
        # The warning of other kernels: this one has the limit, and refuses its value.
        shown, warnings = {"HostConfig": {}}, str(error)
    if name == "Links":
        # Inspect names both ends.
        assert shown["HostConfig"]["Links"] == [f"/target:{shown['Name']}/alias"]
    elif shown["HostConfig"].get(name) != HOST_CONFIG[name]:
        assert name in DROPPED, shown["HostConfig"].get(name)
        assert DROPPED[name].lower() in warnings.lower()


def test_endpoints(engine: Daemon) -> None:
    engine.docker("network", "create", "--subnet", "10.77.0.0/24", "asked")
    try:
        shown, _ = round_trip(
            engine,
            {"HostConfig": {"NetworkMode": "asked"}, "NetworkingConfig": {"EndpointsConfig": {"asked": ENDPOINT}}},
        )
        endpoint = shown["NetworkSettings"]["Networks"]["asked"]
        assert {name: endpoint[name] for name in ENDPOINT} == ENDPOINT
        assert endpoint.keys() >= REPORTED
    finally:
        engine.docker("network", "rm", "asked")
