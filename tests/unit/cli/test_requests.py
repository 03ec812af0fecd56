"""Every flag of ``run``: from words to the request for a container."""

from collections.abc import Sequence
from typing import Any

import click
import pytest

from moorage.api.containers import ContainerCreateRequest
from moorage.cli import container_flags
from moorage.cli.flag_checks import FlagError
from moorage.cli.grammar import Command, FlagValueError
from moorage.cli.requests import attached_streams, create_request


def flags_of(*words: str) -> dict[str, Any]:
    @click.command(cls=Command)
    @container_flags.container_flags
    def run(**flags: Any) -> None:
        """Only for its flags."""

    return run.make_context("run", list(words)).params


def request(*words: str, command: Sequence[str] = (), detached: bool = False) -> ContainerCreateRequest:
    return create_request("image", command, flags_of(*words), detached=detached)


def host(*words: str) -> Any:
    return request(*words).host_config


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["--annotation", "a=b"], "annotations", {"a": "b"}),
        (["--blkio-weight", "300"], "blkio_weight", 300),
        (["--cap-add", "NET_ADMIN", "--cap-add=ALL"], "cap_add", ["NET_ADMIN", "ALL"]),
        (["--cap-drop", "CHOWN"], "cap_drop", ["CHOWN"]),
        (["--cgroup-parent", "/x"], "cgroup_parent", "/x"),
        (["--cgroupns", "host"], "cgroupns_mode", "host"),
        (["--cpu-period", "1000"], "cpu_period", 1000),
        (["--cpu-quota", "-1"], "cpu_quota", -1),
        (["--cpu-rt-period", "5"], "cpu_realtime_period", 5),
        (["--cpu-rt-runtime", "6"], "cpu_realtime_runtime", 6),
        (["-c", "512"], "cpu_shares", 512),
        (["--cpus", "1.5"], "nano_cpus", 1_500_000_000),
        (["--cpuset-cpus", "0-1"], "cpuset_cpus", "0-1"),
        (["--cpuset-mems", "0"], "cpuset_mems", "0"),
        (["--device-cgroup-rule", "c 1:3 r"], "device_cgroup_rules", ["c 1:3 r"]),
        (["--dns", "1.2.3.4"], "dns", ["1.2.3.4"]),
        (["--dns-option", "ndots:2"], "dns_options", ["ndots:2"]),
        (["--dns-search", "x.y"], "dns_search", ["x.y"]),
        (["--add-host", "a=[::1]"], "extra_hosts", ["a:::1"]),
        (["--group-add", "5"], "group_add", ["5"]),
        (["--init"], "init", True),
        (["--ipc", "host"], "ipc_mode", "host"),
        (["--link", "a:b"], "links", ["a:b"]),
        (["-m", "64m"], "memory", 64 << 20),
        (["--memory-reservation", "1g"], "memory_reservation", 1 << 30),
        (["--memory-swap", "-1"], "memory_swap", -1),
        (["--memory-swappiness", "60"], "memory_swappiness", 60),
        ([], "memory_swappiness", None),
        (["--oom-kill-disable"], "oom_kill_disable", True),
        (["--oom-score-adj", "-5"], "oom_score_adj", -5),
        (["--pid", "container:x"], "pid_mode", "container:x"),
        (["--pids-limit", "7"], "pids_limit", 7),
        (["--privileged"], "privileged", True),
        (["-P"], "publish_all_ports", True),
        (["--read-only"], "readonly_rootfs", True),
        (["--rm"], "auto_remove", True),
        (["--runtime", "crun"], "runtime", "crun"),
        (["--security-opt", "no-new-privileges"], "security_opt", ["no-new-privileges"]),
        (["--security-opt", "systempaths=unconfined"], "masked_paths", []),
        (["--shm-size", "1m"], "shm_size", 1 << 20),
        (["--storage-opt", "size=1g"], "storage_opt", {"size": "1g"}),
        (["--sysctl", "net.core.somaxconn=9"], "sysctls", {"net.core.somaxconn": "9"}),
        (["--tmpfs", "/t:size=1m"], "tmpfs", {"/t": "size=1m"}),
        (["--userns", "host"], "userns_mode", "host"),
        (["--userns", "auto"], "userns_mode", "auto"),
        (["--userns", "auto:size=1000"], "userns_mode", "auto:size=1000"),
        (["--uts", "host"], "uts_mode", "host"),
        (["-v", "/a:/b:ro", "-v", "/anonymous"], "binds", ["/a:/b:ro"]),
        (["--volume-driver", "x"], "volume_driver", "x"),
        (["--volumes-from", "c:ro"], "volumes_from", ["c:ro"]),
        ([], "network_mode", "default"),
        (["--network", "none"], "network_mode", "none"),
        (["--network", "name=n,alias=a"], "network_mode", "n"),
        (["--cidfile", "/id"], "container_id_file", "/id"),
    ],
)
def test_flags_of_the_host_configuration(words: list[str], field: str, value: object) -> None:
    assert getattr(host(*words), field) == value


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["--entrypoint", "sh"], "entrypoint", ["sh"]),
        ([], "entrypoint", None),
        (["-e", "A=b"], "env", ["A=b"]),
        (["-h", "name"], "hostname", "name"),
        (["--domainname", "d"], "domainname", "d"),
        (["-l", "a=b", "-l", "c"], "labels", {"a": "b", "c": ""}),
        (["--stop-signal", "SIGINT"], "stop_signal", "SIGINT"),
        (["--stop-timeout", "3"], "stop_timeout", 3),
        (["-t"], "tty", True),
        (["-i"], "open_stdin", True),
        (["-i"], "stdin_once", True),
        (["-u", "1:2"], "user", "1:2"),
        (["-w", "/x"], "working_dir", "/x"),
        (["-v", "/anonymous"], "volumes", {"/anonymous": {}}),
        (["--expose", "80-81", "-p", "5:90/udp"], "exposed_ports", {"80/tcp": {}, "81/tcp": {}, "90/udp": {}}),
    ],
)
def test_flags_of_the_configuration(words: list[str], field: str, value: object) -> None:
    assert getattr(request(*words), field) == value


def test_flags_with_a_structure() -> None:
    made = host(
        "--device", "/dev/a:/dev/b:r", "--ulimit", "nofile=1:2", "--restart", "on-failure:3", "--log-driver", "none",
        "--log-opt", "max-size=1m", "-p", "80:80", "--device-read-bps", "/dev/a:1mb",
        "--blkio-weight-device", "/dev/a:5", "--gpus", "all", "--mount", "type=tmpfs,target=/t",
    )  # fmt: skip
    assert (made.devices[0].path_on_host, made.devices[0].path_in_container) == ("/dev/a", "/dev/b")
    assert (made.ulimits[0].name, made.ulimits[0].soft, made.ulimits[0].hard) == ("nofile", 1, 2)
    assert (made.restart_policy.name, made.restart_policy.maximum_retry_count) == ("on-failure", 3)
    assert (made.log_config.type, made.log_config.config) == ("none", {"max-size": "1m"})
    assert made.port_bindings["80/tcp"][0].host_port == "80"
    assert made.blkio_device_read_bps[0].rate == 1 << 20
    assert made.blkio_weight_device[0].weight == 5
    assert made.device_requests[0].count == -1
    assert made.mounts[0].target == "/t"


def test_health_flags() -> None:
    health = request("--health-cmd", "true", "--health-interval", "1s", "--health-retries", "2").healthcheck
    assert health is not None
    assert (health.test, health.interval, health.retries) == (["CMD-SHELL", "true"], 10**9, 2)
    none = request("--no-healthcheck").healthcheck
    assert none is not None
    assert none.test == ["NONE"]


def test_addresses_belong_to_the_first_network() -> None:
    networking = request(
        "--network", "a", "--network", "b", "--ip", "10.0.0.5", "--network-alias", "x"
    ).networking_config
    assert networking is not None
    endpoints = networking.endpoints_config or {}
    first, second = endpoints["a"], endpoints["b"]
    assert first is not None
    assert first.ipam_config is not None
    assert (first.ipam_config.ipv4_address, first.aliases) == ("10.0.0.5", ["x"])
    assert second is not None
    assert second.ipam_config is None


def test_streams() -> None:
    assert attached_streams(flags_of()) == {"stdout", "stderr"}
    assert attached_streams(flags_of("-i")) == {"stdin", "stdout", "stderr"}
    assert attached_streams(flags_of("-a", "STDERR")) == {"stderr"}
    assert not request("-i", detached=True).attach_stdin


@pytest.mark.parametrize(
    "words",
    [
        ["-a", "foo"],
        ["--add-host", "x"],
        ["--dns", "x"],
        ["--sysctl", "foo=1"],
        ["--ulimit", "nofile"],
        ["--ulimit", "nofile=5:4"],
        ["--mount", "type=bind"],
        ["--network", "alias=x"],
    ],
)
def test_values_that_are_refused_with_the_usage(words: list[str]) -> None:
    with pytest.raises(FlagValueError, match=f'invalid argument ".*" for ".*{words[0]}'):
        request(*words)


@pytest.mark.parametrize(
    "words",
    [
        ["--rm", "--restart", "always"],
        ["--no-healthcheck", "--health-cmd", "x"],
        ["--health-retries", "-1"],
        ["--pull", "sometimes"],
        ["--security-opt", "foo"],
        ["--uts", "x"],
        ["--pid", "container:"],
        ["--mac-address", "x"],
        ["--device", "a:b:c:d"],
        ["--device-read-bps", "x"],
    ],
)
def test_flags_that_are_refused(words: list[str]) -> None:
    with pytest.raises((FlagError, FlagValueError)):
        request(*words)
