"""What a create or update request may say, in Docker's words."""

import dataclasses
import signal
from typing import Any

import msgspec
import pytest

from moorage.api.containers import ContainerConfig, HealthConfig
from moorage.api.host_config import (
    DeviceMapping,
    HostConfig,
    LogConfig,
    PortBinding,
    RestartPolicy,
    ThrottleDevice,
    Ulimit,
    UpdateRequest,
    WeightDevice,
)
from moorage.api.mounts import Mount
from moorage.api.signals import parse_signal
from moorage.engine.bundles.host_facts import HostFacts, format_list, parse_list
from moorage.engine.bundles.limits import check_limits
from moorage.engine.bundles.validation import check_change, check_create, check_later, check_update
from moorage.errors import ConflictError, MoorageError

FEATURES = frozenset(
    """
    memory swap memory_reservation oom_kill_disable swappiness cpu_shares cpu_cfs cpuset pids
    blkio_weight blkio_weight_device blkio_throttle
    """.split()
)
HOST = HostFacts(
    cgroup_version=1,
    features=FEATURES,
    cpus=2,
    cpuset_cpus=frozenset({0, 1}),
    cpuset_mems=frozenset({0}),
    architecture="amd64",
    runtimes=frozenset({"moorage", "runc"}),
)
LOG = LogConfig(type="json-file", config={"max-size": "1m"})
MIB = 1024 * 1024


def create(config: ContainerConfig | None = None, **host_config: Any) -> tuple[HostConfig, list[str]]:
    config = config or ContainerConfig()
    checked = check_create(config, HostConfig(**host_config), host=HOST, log=LOG)
    check_later(config, checked[0])
    return checked


def test_defaults_are_filled_in() -> None:
    checked, warnings = create(memory=64 * MIB)
    assert warnings == []
    assert (checked.network_mode, checked.ipc_mode, checked.cgroupns_mode) == ("bridge", "private", "host")
    assert (checked.shm_size, checked.memory_swap, checked.runtime) == (64 * MIB, 128 * MIB, "moorage")
    assert (checked.restart_policy.name, checked.log_config) == ("no", LOG)
    assert "/proc/kcore" in (checked.masked_paths or [])


def test_masked_paths_come_in_dockers_order() -> None:
    checked, _ = create()
    acpi, *_, scsi, firmware, powercap = (checked.masked_paths or [])[1:]
    assert (acpi, scsi) == ("/proc/acpi", "/proc/scsi")
    assert (firmware, powercap) == ("/sys/firmware", "/sys/devices/virtual/powercap")


def test_an_unified_host_gives_a_cgroup_namespace() -> None:
    host = dataclasses.replace(HOST, cgroup_version=2)
    checked, _ = check_create(ContainerConfig(), HostConfig(), host=host, log=LOG)
    assert checked.cgroupns_mode == "private"


def test_systempaths_unconfined_is_kept_as_empty_lists() -> None:
    checked, _ = create(masked_paths=[], readonly_paths=[])
    assert (checked.masked_paths, checked.readonly_paths) == ([], [])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"memory": 4 * MIB}, "Minimum memory limit allowed is 6MB"),
        ({"memory": 64 * MIB, "memory_swap": 32 * MIB}, "Minimum memoryswap limit should be larger than memory limit"),
        ({"memory_swap": 64 * MIB}, "You should always set the Memory limit when using Memoryswap limit"),
        ({"memory_swappiness": 101}, "valid memory swappiness range is 0-100"),
        ({"memory_reservation": MIB}, "Minimum memory reservation allowed is 6MB"),
        ({"memory": 8 * MIB, "memory_reservation": 9 * MIB}, "can not be less than memory reservation limit"),
        ({"nano_cpus": 3_000_000_000}, "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"),
        ({"nano_cpus": 1, "cpu_quota": 5000}, "Nano CPUs and CPU Quota cannot both be set"),
        ({"cpu_period": 10}, "CPU cfs period can not be less than 1ms"),
        ({"cpu_quota": 10}, "CPU cfs quota can not be less than 1ms"),
        ({"cpu_realtime_runtime": 10}, "kernel does not support CPU real-time scheduler"),
        ({"cpuset_cpus": "0-7"}, "Requested CPUs are not available - requested 0-7, available: 0-1"),
        ({"cpuset_mems": "x"}, "Invalid value x for cpuset mems: invalid format: x"),
        ({"blkio_weight": 5}, "Range of blkio weight is from 10 to 1000"),
        ({"blkio_weight_device": [WeightDevice(path="/dev/x", weight=1)]}, "invalid weight for device"),
        ({"memory": -5}, "Minimum memory limit allowed is 6MB"),
        ({"nano_cpus": -1}, "range of CPUs is from 0.01 to 2.00"),
        ({"memory_swappiness": -2}, "Invalid value: -2, valid memory swappiness range is 0-100"),
        ({"cpu_shares": -1}, r"invalid CPU shares \(-1\): value must be a positive integer"),
        ({"cpuset_cpus": "1-0"}, "Invalid value 1-0 for cpuset cpus: invalid format: 1-0"),
        ({"cpuset_mems": "0-99999999999"}, "value of out range, maximum is 8192"),
        ({"io_maximum_iops": 5}, "QoS maximum IOPs configuration is not supported on linux"),
        ({"io_maximum_bandwidth": 5}, "QoS maximum bandwidth configuration is not supported on linux"),
        ({"shm_size": -1}, "SHM size can not be less than 0"),
        ({"oom_score_adj": 2000}, r"range for oom score adj is \[-1000, 1000\]"),
        ({"restart_policy": RestartPolicy(name="sometimes")}, "invalid restart policy: unknown policy 'sometimes'"),
        ({"restart_policy": RestartPolicy(name="always", maximum_retry_count=3)}, "can only be used with 'on-failure'"),
        ({"restart_policy": RestartPolicy(name="on-failure", maximum_retry_count=-1)}, "cannot be negative"),
        ({"restart_policy": RestartPolicy(name="always"), "auto_remove": True}, "can't create 'AutoRemove' container"),
        ({"cap_add": ["FLY"]}, "invalid CapAdd: unknown capability"),
        ({"security_opt": ["colour=blue"]}, 'invalid --security-opt 2: "colour=blue"'),
        ({"security_opt": ["colour"]}, 'invalid --security-opt 1: "colour"'),
        ({"device_cgroup_rules": ["x 1:2 r"]}, "invalid device cgroup rule format: 'x 1:2 r'"),
        ({"ipc_mode": "secret"}, "invalid IPC mode: secret"),
        ({"pid_mode": "container:"}, "invalid PID mode: container:"),
        ({"uts_mode": "private"}, "invalid UTS mode: private"),
        ({"cgroupns_mode": "x"}, "invalid cgroup namespace mode: x"),
        ({"userns_mode": "private"}, "invalid user namespace mode: private"),
        ({"isolation": "hyperv"}, r"invalid isolation \(hyperv\): linux only supports 'default'"),
        ({"annotations": {"": "x"}}, "the empty string is not permitted as an annotation key"),
        ({"mounts": [Mount(type="bind", target="/x")]}, 'invalid mount config for type "bind": field Source must not'),
        ({"network_mode": "container:"}, "invalid container format container:<name|id>"),
        ({"network_mode": "container:x", "dns": ["1.1.1.1"]}, "conflicting options: dns and the network mode"),
        ({"network_mode": "container:x", "publish_all_ports": True}, "port publishing and the container type network"),
        ({"runtime": "rocket"}, "unknown or invalid runtime name: rocket"),
        ({"storage_opt": {"size": "1g"}}, "--storage-opt is supported only for overlay over xfs"),
        ({"ulimits": [Ulimit(name="beer", soft=1, hard=1)]}, "invalid ulimit type: beer"),
        ({"ulimits": [Ulimit(name="nofile", soft=2, hard=1)]}, "soft limit must be less than or equal to hard limit"),
    ],
)
def test_check_create_refuses(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(MoorageError, match=message):
        create(**fields)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ContainerConfig(working_dir="here"), "the working directory 'here' is invalid"),
        (ContainerConfig(env=["=x"]), "invalid environment variable: =x"),
        (ContainerConfig(hostname="h" * 65), r"is too long \(maximum 64 bytes\)"),
        (ContainerConfig(stop_signal="SIGFISH"), "invalid signal: SIGFISH"),
        (ContainerConfig(healthcheck=HealthConfig(interval=10)), "Interval in Healthcheck cannot be less than 1ms"),
        (ContainerConfig(healthcheck=HealthConfig(retries=-1)), "Retries in Healthcheck cannot be negative"),
    ],
)
def test_check_create_refuses_config(config: ContainerConfig, message: str) -> None:
    with pytest.raises(MoorageError, match=message):
        create(config)


@pytest.mark.parametrize(
    ("config", "fields", "message"),
    [
        # Each pair holds two mistakes, and the message is of the one that Docker finds first.
        ({"working_dir": "here"}, {"network_mode": "container:x", "dns": ["1.1.1.1"]}, "conflicting options: dns"),
        ({"working_dir": "here"}, {"isolation": "x"}, "invalid isolation"),
        ({"working_dir": "here", "stop_signal": "x"}, {}, "the working directory"),
        ({"stop_signal": "x", "env": [""]}, {}, "invalid signal"),
        ({"env": [""]}, {"auto_remove": True, "restart_policy": RestartPolicy(name="x")}, "environment variable"),
        ({}, {"auto_remove": True, "restart_policy": RestartPolicy(name="x")}, "AutoRemove"),
        ({}, {"mounts": [Mount(type="x", target="/x")], "restart_policy": RestartPolicy(name="x")}, "mount type"),
        ({}, {"restart_policy": RestartPolicy(name="x"), "cap_add": ["x"]}, "restart policy"),
        ({"hostname": "h" * 65}, {"cap_add": ["x"]}, "CapAdd"),
        ({"hostname": "h" * 65}, {"memory": 1}, "hostname"),
        ({}, {"memory": 1, "ipc_mode": "x"}, "Minimum memory limit"),
        ({}, {"ipc_mode": "x", "shm_size": -1}, "IPC mode"),
        ({}, {"uts_mode": "x", "oom_score_adj": 5000}, "UTS mode"),
        ({}, {"runtime": "x", "tmpfs": {"x": ""}}, "runtime name"),
        ({}, {"tmpfs": {"x": ""}, "security_opt": ["x"]}, "mount path must be absolute"),
    ],
)
def test_the_first_mistake_is_told(config: dict[str, Any], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(MoorageError, match=message):
        create(ContainerConfig(**config), **fields)


@pytest.mark.parametrize(
    "fields", [{"privileged": True}, {"ipc_mode": "host"}, {"pid_mode": "host", "security_opt": ["apparmor=x"]}]
)
def test_who_sees_the_host_has_no_label_unless_it_asks(fields: dict[str, Any]) -> None:
    checked, _ = create(**fields)
    assert (checked.security_opt or [])[-1] == "label=disable"
    asked = ["label=user:x"]
    checked, _ = create(**fields | {"security_opt": asked})
    assert checked.security_opt == asked


def test_ports_of_a_container_in_the_hosts_network_are_warned_about() -> None:
    _, warnings = create(network_mode="host", port_bindings={"80/tcp": [PortBinding(host_port="80")]})
    assert warnings == ["Published ports are discarded when using host network mode"]


def test_a_privileged_container_of_a_unified_host_has_a_cgroup_namespace_too() -> None:
    host = dataclasses.replace(HOST, cgroup_version=2)
    checked, _ = check_create(ContainerConfig(), HostConfig(privileged=True), host=host, log=LOG)
    assert checked.cgroupns_mode == "private"


def test_what_the_kernel_cannot_do_is_a_warning_and_cleared() -> None:
    bare = dataclasses.replace(HOST, features=frozenset())
    asked = HostConfig(memory=64 * MIB, memory_swap=128 * MIB, oom_kill_disable=True, pids_limit=9, cpu_shares=2)
    limited, warnings = check_limits(asked, host=bare)
    assert (limited.memory, limited.oom_kill_disable, limited.pids_limit, limited.cpu_shares) == (0, None, None, 0)
    assert len(warnings) == 4
    assert warnings[0].startswith("Your kernel does not support memory limit capabilities")


@pytest.mark.parametrize(
    ("text", "number"), [("TERM", 15), ("SIGKILL", 9), ("9", 9), ("sigusr1", 10), ("RTMIN+3", signal.SIGRTMIN + 3)]
)
def test_parse_signal(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize("text", ["", "0", "SIG", "TERM+1", "SIGSIGTERM", "RTMAX+1", "RTMIN-9", "15x"])
def test_parse_signal_refuses(text: str) -> None:
    with pytest.raises(MoorageError, match="invalid signal"):
        parse_signal(text)


@pytest.mark.parametrize("text", ["65", "99", "-1"])
def test_numbers_of_no_signal_are_refused(text: str) -> None:
    with pytest.raises(MoorageError, match=f"the linux daemon does not support signal {text}"):
        parse_signal(text)


def test_swappiness_of_minus_one_and_pids_of_zero_are_no_limits() -> None:
    checked, warnings = create(memory_swappiness=-1, pids_limit=-1, cpu_count=4)
    assert (checked.memory_swappiness, checked.pids_limit, checked.oom_kill_disable, warnings) == (
        None,
        None,
        False,
        [],
    )


def test_systemd_makes_cgroups_in_slices() -> None:
    host = dataclasses.replace(HOST, systemd_cgroups=True)
    checked, _ = check_create(ContainerConfig(), HostConfig(cgroup_parent="my-own.slice"), host=host, log=LOG)
    assert checked.cgroup_parent == "my-own.slice"
    with pytest.raises(MoorageError, match="cgroup-parent for systemd cgroup should be a valid slice"):
        check_create(ContainerConfig(), HostConfig(cgroup_parent="/x"), host=host, log=LOG)


def test_what_is_dropped_is_not_checked() -> None:
    bare = dataclasses.replace(HOST, features=frozenset())
    asked = HostConfig(memory_swappiness=500, blkio_weight=1, cpuset_cpus="77", cpu_period=1, cpu_percent=3)
    limited, warnings = check_limits(asked, host=bare)
    assert limited == HostConfig()
    assert warnings[1] == "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded."
    assert warnings[2] == "linux does not support CPU percent. Percent discarded."


def test_update_keeps_what_it_does_not_name() -> None:
    current, _ = create(memory=64 * MIB, cpu_shares=5)
    updated = check_update(current, UpdateRequest(memory=32 * MIB))
    assert updated == msgspec.structs.replace(current, memory=32 * MIB)


def test_update_leaves_alone_what_is_no_limit() -> None:
    current, _ = create()
    change = UpdateRequest(cgroup_parent="/x", devices=[DeviceMapping()], memory_swappiness=5, oom_kill_disable=True)
    assert check_update(current, change) == current


def test_update_may_lift_limits() -> None:
    rates = [ThrottleDevice(path="/dev/vda", rate=9)]
    current, _ = create(pids_limit=5, blkio_device_read_bps=rates, blkio_device_write_bps=rates)
    updated = check_update(current, UpdateRequest(pids_limit=-1, blkio_device_read_bps=[]))
    assert (updated.pids_limit, updated.blkio_device_read_bps, updated.blkio_device_write_bps) == (0, [], rates)


def test_a_change_is_checked_for_itself() -> None:
    change, warnings = check_change(UpdateRequest(memory_swap=32 * MIB, cpu_percent=5), host=HOST)
    assert change == UpdateRequest(memory_swap=32 * MIB)
    assert warnings == ["linux does not support CPU percent. Percent discarded."]
    with pytest.raises(MoorageError, match="invalid restart policy: unknown policy 'foo'"):
        check_change(UpdateRequest(restart_policy=RestartPolicy(name="foo")), host=HOST)


@pytest.mark.parametrize(
    ("current", "change", "message"),
    [
        ({"memory": 64 * MIB}, {"memory": 512 * MIB}, "smaller than already set memoryswap limit, update the"),
        ({}, {"memory": 64 * MIB}, "smaller than already set memoryswap limit, update the memoryswap at the same time"),
        ({"memory": 64 * MIB, "memory_swap": -1}, {"memory": 65 * MIB}, "smaller than already set memoryswap limit"),
        ({"cpu_quota": 5000}, {"nano_cpus": 10**9}, "Nano CPUs cannot be updated as CPU Quota has already been set"),
        ({"nano_cpus": 10**9}, {"cpu_period": 5000}, "CPU Period cannot be updated as NanoCPUs has already been set"),
        (
            {"auto_remove": True},
            {"restart_policy": RestartPolicy(name="always")},
            "Restart policy cannot be updated because AutoRemove is enabled",
        ),
    ],
)
def test_update_refuses(current: dict[str, Any], change: dict[str, Any], message: str) -> None:
    stored, _ = create(**current)
    with pytest.raises(ConflictError, match=message):
        check_update(stored, UpdateRequest(**change))


def test_parse_list() -> None:
    assert parse_list("0-2,5\n") == {0, 1, 2, 5}
    assert parse_list("") == set()
    assert format_list({7, 0, 1, 2}) == "0-2,7"


def test_a_kernel_memory_limit_is_dropped_with_a_warning() -> None:
    checked, warnings = create(kernel_memory=64 * MIB)
    assert checked.kernel_memory == 0
    assert "kernel memory limit" in warnings[0]


def test_log_options_without_a_driver_are_the_daemons_drivers() -> None:
    checked, _ = create(log_config=LogConfig(config={"max-file": "3"}))
    assert checked.log_config == LogConfig(type="json-file", config={"max-size": "1m", "max-file": "3"})
    checked, _ = create(log_config=LogConfig(type="local"))
    assert checked.log_config == LogConfig(type="local", config={})
