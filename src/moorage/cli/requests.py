"""From the flags of ``run`` and ``create`` to the request for a container.

Pure but for the files that flags name.

Spec: Engine API, POST /containers/create.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from moorage.api.containers import ContainerConfig, ContainerCreateRequest, HealthConfig
from moorage.api.host_config import (
    HostConfig,
    LogConfig,
    ThrottleDevice,
    Ulimit,
    WeightDevice,
)
from moorage.api.mounts import Mount
from moorage.api.networks import EndpointIPAMConfig, EndpointSettings, NetworkingConfig
from moorage.cli.device_flags import device_requests, devices
from moorage.cli.environment import environment, labels, pairs
from moorage.cli.flag_checks import FlagError, check_flags, is_address
from moorage.cli.grammar import FlagValueError
from moorage.cli.mount_syntax import MountSyntaxError, parse_mount
from moorage.cli.ports import expose, publish
from moorage.cli.quantities import parse_bytes, parse_integer
from moorage.client.steps import restart_policy

_NETWORK_FIELDS: Final = frozenset(
    {"name", "alias", "ip", "ip6", "mac-address", "link-local-ip", "driver-opt", "gw-priority"}
)
#: Flags that say something of the first network's endpoint.
_ENDPOINT_FLAGS: Final = ("ip", "ip6", "mac_address", "link_local_ip", "network_alias")
_NOT_USERS: Final = frozenset({"default", "bridge", "host", "none"})
_STREAMS: Final = ("stdin", "stdout", "stderr")


def create_request(
    image: str,
    command: Sequence[str],
    flags: Mapping[str, Any],
    *,
    detached: bool,
    console_size: tuple[int, int] | None = None,
) -> ContainerCreateRequest:
    """Return the request that the flags stand for.

    Args:
        flags: By the names in `container_flags`.
        detached: ``run -d``: nothing is attached.
        console_size: Rows and columns of the user's terminal.

    Raises:
        FlagError: In Docker's words.
    """
    check_flags(flags)
    bindings = publish(flags["publish"])
    config = _config(image, command, flags, attached=frozenset() if detached else attached_streams(flags))
    return ContainerCreateRequest(
        **_fields_of(config),
        host_config=msgspec.structs.replace(_host_config(flags, bindings), console_size=console_size or (0, 0)),
        networking_config=_networking(flags),
    )


def _fields_of(config: ContainerConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__struct_fields__}


def attached_streams(flags: Mapping[str, Any]) -> frozenset[str]:
    """Return the streams that the client attaches to.

    Raises:
        FlagError: ``--attach`` names no stream.
    """
    named = [stream.lower() for stream in flags["attach"]]
    for stream in named:
        if stream not in _STREAMS:
            raise FlagValueError(stream, "valid streams are STDIN, STDOUT and STDERR", flag="-a, --attach")
    if named:
        return frozenset(named)
    return frozenset({"stdout", "stderr", *(["stdin"] if flags["interactive"] else [])})


def _config(
    image: str, command: Sequence[str], flags: Mapping[str, Any], *, attached: frozenset[str]
) -> ContainerConfig:
    volumes = [text for text in flags["volume"] if ":" not in text]
    entrypoint = flags["entrypoint"]
    return ContainerConfig(
        image=image,
        cmd=list(command) or None,
        entrypoint=None if entrypoint is None else [entrypoint],
        hostname=flags["hostname"],
        domainname=flags["domainname"],
        user=flags["user"],
        tty=flags["tty"],
        open_stdin=flags["interactive"],
        stdin_once="stdin" in attached and flags["interactive"],
        attach_stdin="stdin" in attached,
        attach_stdout="stdout" in attached,
        attach_stderr="stderr" in attached,
        env=environment(flags["env"], flags["env_file"], own=os.environ),
        exposed_ports={**expose(flags["expose"]), **{port: {} for port in publish(flags["publish"])}},
        volumes={text: {} for text in volumes} or None,
        working_dir=flags["workdir"],
        labels=labels(flags["label"], flags["label_file"]),
        stop_signal=flags["stop_signal"],
        stop_timeout=flags["stop_timeout"],
        healthcheck=_health(flags),
    )


def _health(flags: Mapping[str, Any]) -> HealthConfig | None:
    times = {
        "interval": flags["health_interval"],
        "timeout": flags["health_timeout"],
        "start_period": flags["health_start_period"],
        "start_interval": flags["health_start_interval"],
        "retries": flags["health_retries"],
    }
    command = flags["health_cmd"]
    if flags["no_healthcheck"]:
        if command or any(times.values()):
            raise FlagError("--no-healthcheck conflicts with --health-* options")
        return HealthConfig(test=["NONE"])
    if not command and not any(times.values()):
        return None
    for name in ("interval", "timeout", "retries", "start_period", "start_interval"):
        if times[name] < 0:
            raise FlagError(f"--health-{name.replace('_', '-')} cannot be negative")
    return HealthConfig(test=["CMD-SHELL", command] if command else [], **times)


def _host_config(flags: Mapping[str, Any], bindings: dict[str, Any]) -> HostConfig:
    swappiness = flags["memory_swappiness"]
    masked, security = _security(flags["security_opt"])
    return HostConfig(
        binds=[text for text in flags["volume"] if ":" in text] or None,
        mounts=[_mount(text) for text in flags["mount"]],
        tmpfs={path: options for path, _, options in (text.partition(":") for text in flags["tmpfs"])},
        volumes_from=list(flags["volumes_from"]) or None,
        volume_driver=flags["volume_driver"],
        container_id_file=flags["cidfile"],
        log_config=LogConfig(type=flags["log_driver"], config=pairs(flags["log_opt"])),
        network_mode=network_names(flags)[0],
        port_bindings=bindings,
        publish_all_ports=flags["publish_all"],
        restart_policy=restart_policy(flags["restart"]),
        auto_remove=flags["rm"],
        cap_add=list(flags["cap_add"]) or None,
        cap_drop=list(flags["cap_drop"]) or None,
        privileged=flags["privileged"],
        readonly_rootfs=flags["read_only"],
        security_opt=security or None,
        masked_paths=masked,
        readonly_paths=masked,
        dns=list(flags["dns"]),
        dns_options=list(flags["dns_option"]),
        dns_search=list(flags["dns_search"]),
        extra_hosts=[_extra_host(text) for text in flags["add_host"]] or None,
        group_add=list(flags["group_add"]) or None,
        links=list(flags["link"]) or None,
        ipc_mode=flags["ipc"],
        pid_mode=flags["pid"],
        uts_mode=flags["uts"],
        cgroupns_mode=flags["cgroupns"],
        userns_mode=flags["userns"],
        isolation=flags["isolation"],
        init=flags["init"] or None,
        shm_size=flags["shm_size"],
        sysctls=pairs(flags["sysctl"]),
        annotations=pairs(flags["annotation"]),
        storage_opt=pairs(flags["storage_opt"]),
        runtime=flags["runtime"],
        cpu_count=flags["cpu_count"],
        cpu_percent=flags["cpu_percent"],
        io_maximum_bandwidth=flags["io_maxbandwidth"],
        io_maximum_iops=flags["io_maxiops"],
        oom_score_adj=flags["oom_score_adj"],
        memory=flags["memory"],
        memory_reservation=flags["memory_reservation"],
        memory_swap=flags["memory_swap"],
        memory_swappiness=None if swappiness == -1 else swappiness,
        oom_kill_disable=flags["oom_kill_disable"] or None,
        pids_limit=flags["pids_limit"],
        nano_cpus=flags["cpus"],
        cpu_shares=flags["cpu_shares"],
        cpu_period=flags["cpu_period"],
        cpu_quota=flags["cpu_quota"],
        cpu_realtime_period=flags["cpu_rt_period"],
        cpu_realtime_runtime=flags["cpu_rt_runtime"],
        cpuset_cpus=flags["cpuset_cpus"],
        cpuset_mems=flags["cpuset_mems"],
        cgroup_parent=flags["cgroup_parent"],
        blkio_weight=flags["blkio_weight"],
        blkio_weight_device=_weights(flags),
        blkio_device_read_bps=_throttles(flags, "device-read-bps"),
        blkio_device_write_bps=_throttles(flags, "device-write-bps"),
        blkio_device_read_iops=_throttles(flags, "device-read-iops"),
        blkio_device_write_iops=_throttles(flags, "device-write-iops"),
        devices=devices(flags["device"]),
        device_cgroup_rules=list(flags["device_cgroup_rule"]) or None,
        device_requests=device_requests(flags["device"], flags["gpus"]),
        ulimits=[_ulimit(text) for text in flags["ulimit"]] or None,
    )


def _mount(text: str) -> Mount:
    try:
        return parse_mount(text)
    except MountSyntaxError as error:
        raise FlagValueError(text, str(error), flag="--mount") from None


def _security(texts: Iterable[str]) -> tuple[list[str] | None, list[str]]:
    """Return the masked paths (None: the default ones) and the options for the engine."""
    masked: list[str] | None = None
    options: list[str] = []
    for text in texts:
        name, _, value = text.partition("=")
        if text == "systempaths=unconfined":
            masked = []
        elif name == "seccomp" and value not in {"unconfined", "builtin", ""}:
            options.append(f"seccomp={_compact_json(value)}")
        else:
            options.append(text)
    return masked, options


def _compact_json(file: str) -> str:
    try:
        return json.dumps(json.loads(Path(file).read_bytes()), separators=(",", ":"))
    except OSError as error:
        raise FlagError(
            f"opening seccomp profile ({file}) failed: open {file}: {(error.strerror or '').lower()}"
        ) from None
    except ValueError as error:
        raise FlagError(f"compacting json for seccomp profile ({file}) failed: {error}") from None


def _extra_host(text: str) -> str:
    separator = "=" if "=" in text else ":"
    name, found, address = text.partition(separator)
    if not found or not name or not address:
        raise FlagValueError(text, f'bad format for add-host: "{text}"', flag="--add-host")
    bare = address.strip("[]")
    if bare != "host-gateway" and not is_address(bare):
        raise FlagValueError(text, f'invalid IP address in add-host: "{address}"', flag="--add-host")
    return f"{name}:{bare}"


def _rates(texts: Iterable[str], *, flag: str, parse: Callable[[str], int], wanted: str) -> list[tuple[str, int]]:
    found = []
    for text in texts:
        path, separator, rate = text.rpartition(":")
        if not separator:
            raise FlagValueError(text, f"bad format: {text}", flag=flag)
        if not path.startswith("/dev/"):
            raise FlagValueError(text, f"bad format for device path: {text}", flag=flag)
        try:
            number = parse(rate)
        except ValueError:
            number = -1
        if number < 0:
            raise FlagValueError(text, f"invalid {wanted.format(text=text)}", flag=flag)
        found.append((path, number))
    return found


def _weights(flags: Mapping[str, Any]) -> list[WeightDevice]:
    found = _rates(
        flags["blkio_weight_device"],
        flag="--blkio-weight-device",
        parse=parse_integer,
        wanted="weight for device: {text}",
    )
    return [WeightDevice(path=path, weight=weight) for path, weight in found]


def _throttles(flags: Mapping[str, Any], flag: str) -> list[ThrottleDevice]:
    form = "rate for device: {text}. The correct format is <device-path>:<number>"
    in_bytes = flag.endswith("bps")
    wanted = (
        f"{form}[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        if in_bytes
        else f"{form}. Number must be a positive integer"
    )
    texts = flags[flag.replace("-", "_")]
    found = _rates(texts, flag=f"--{flag}", parse=parse_bytes if in_bytes else parse_integer, wanted=wanted)
    return [ThrottleDevice(path=path, rate=rate) for path, rate in found]


def _ulimit(text: str) -> Ulimit:
    name, separator, limits = text.partition("=")
    soft, _, hard = limits.partition(":")
    try:
        limit = Ulimit(name=name, soft=int(soft), hard=int(hard or soft))
    except ValueError:
        reason = "invalid ulimit argument" if not separator else "invalid ulimit value"
        raise FlagValueError(text, f"{reason}: {text}", flag="--ulimit") from None
    if limit.soft > limit.hard != -1:
        reason = f"ulimit soft limit must be less than or equal to hard limit: {limit.soft} > {limit.hard}"
        raise FlagValueError(text, reason, flag="--ulimit")
    return limit


def network_names(flags: Mapping[str, Any]) -> list[str]:
    """Return the networks in the order given; ``default`` if none is."""
    return [_network_fields(text)["name"] for text in flags["network"]] or ["default"]


def _network_fields(text: str) -> dict[str, str]:
    if "=" not in text:
        return {"name": text}
    fields = pairs(text.split(","))
    if not fields.get("name"):
        raise FlagValueError(text, "network name/id is not specified", flag="--network")
    if unknown := [name for name in fields if name not in _NETWORK_FIELDS]:
        raise FlagValueError(text, f"invalid field key {unknown[0]}", flag="--network")
    return fields


def _networking(flags: Mapping[str, Any]) -> NetworkingConfig | None:
    names = flags["network"] or (["default"] if any(flags[name] for name in _ENDPOINT_FLAGS) else [])
    _check_networks(network_names(flags), flags)
    endpoints = {
        _network_fields(text)["name"]: _endpoint(text, flags, first=index == 0) for index, text in enumerate(names)
    }
    return NetworkingConfig(endpoints_config={**endpoints}) if endpoints else None


def _check_networks(names: Sequence[str], flags: Mapping[str, Any]) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise FlagError(f'network "{name}" is specified multiple times')
    if flags["network_alias"] and names[0] in _NOT_USERS:
        raise FlagError("network-scoped aliases are only supported for user-defined networks")


def _endpoint(text: str, flags: Mapping[str, Any], *, first: bool) -> EndpointSettings:
    """Return what is asked of one network; the flags beside `--network` mean the first one."""
    fields = _network_fields(text)
    repeated = [pair.partition("=") for pair in text.split(",")] if "=" in text else []

    def each(name: str) -> list[str]:
        return [value for key, _, value in repeated if key == name]

    def one(name: str, flag: str) -> str:
        return fields.get(name, flags[flag] if first else "")

    ipv4, ipv6 = one("ip", "ip"), one("ip6", "ip6")
    local = [*each("link-local-ip"), *(flags["link_local_ip"] if first else ())]
    aliases = [*each("alias"), *(flags["network_alias"] if first else ())]
    asked = EndpointIPAMConfig(ipv4_address=ipv4, ipv6_address=ipv6, link_local_ips=local)
    try:
        priority = int(fields.get("gw-priority", "0"))
    except ValueError:
        reason = f"invalid gw-priority: {fields['gw-priority']}"
        raise FlagValueError(text, reason, flag="--network") from None
    return EndpointSettings(
        ipam_config=asked if ipv4 or ipv6 or local else None,
        aliases=aliases or None,
        mac_address=one("mac-address", "mac_address"),
        driver_opts=pairs(each("driver-opt")) or None,
        gw_priority=priority,
    )
