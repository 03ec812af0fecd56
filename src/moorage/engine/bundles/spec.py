"""From a container's record to the runtime-spec's ``config.json``.

Pure: paths, numbers and namespaces to join come in as values.

Spec: runtime-spec, config.md and config-linux.md.
"""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from moorage.api.containers import ContainerConfig
from moorage.api.host_config import HostConfig
from moorage.engine.bundles.capabilities import effective_capabilities
from moorage.engine.bundles.default_mounts import bind, replace_by_destination, system_mounts
from moorage.engine.bundles.devices import ALLOW_ALL, DEFAULT_RULES, HostDevice, parse_rule
from moorage.engine.bundles.merging import merge_environment
from moorage.engine.bundles.modes import joined_container
from moorage.engine.bundles.resources import spec_resources, spec_rlimits
from moorage.engine.bundles.seccomp import SeccompObject, custom_profile, default_profile
from moorage.engine.bundles.security import (
    BUILTIN,
    UNCONFINED,
    SecurityOptionError,
    SecurityOptions,
    apparmor_profile,
    parse_security_options,
)
from moorage.engine.bundles.users import ResolvedUser
from moorage.engine.selinux.context import Labels
from moorage.engine.userns.mapping import IdMapping

RuntimeSpec = dict[str, Any]

# Not the newest: crun of Debian 12 refuses bundles of 1.1 and later, and a runtime ignores
# the properties that it does not know.
_VERSION: Final = "1.0.2"
_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INIT_PATH: Final = "/sbin/docker-init"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleInputs:
    """What a bundle is made of.

    Attributes:
        hostname: As seen inside; empty in the host's UTS namespace.
        mounts: The user's mounts as runtime-spec objects, shallow destinations first.
        files: Host files for fixed places, such as ``/etc/hosts``, by destination.
        joined: Paths of the namespaces to join, by their runtime-spec type.
        cgroups_path: Absolute, from each hierarchy's root.
        devices: Host devices asked for, with the rules that open them.
        init: A host program to run as PID 1, or None.
        rlimits: The daemon's default limits that the request does not name are in here too.
        id_mapping: What its user namespace maps; None in the host's.
        apparmor: Whether this host has AppArmor.
        labels: Of SELinux; empty ones without.
        seccomp_default: The daemon's own profile, as `SecurityOptions.seccomp`.
        kernel: Major and minor version.
    """

    container_id: str
    hostname: str
    config: ContainerConfig
    host_config: HostConfig
    user: ResolvedUser
    architecture: str
    cgroups_path: str
    mounts: Sequence[Mapping[str, Any]] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    joined: Mapping[str, str] = field(default_factory=dict)
    devices: Sequence[HostDevice] = ()
    device_rules: Sequence[Mapping[str, Any]] = ()
    init: str | None = None
    id_mapping: IdMapping | None = None
    apparmor: bool = False
    labels: Labels = field(default_factory=Labels)
    seccomp_default: str = ""
    kernel: tuple[int, int] = (0, 0)


def build_spec(inputs: BundleInputs) -> RuntimeSpec:
    """Return the configuration that any OCI runtime can start.

    Raises:
        InvalidSeccompProfileError: The custom profile is none.
    """
    host = inputs.host_config
    security = parse_security_options(host.security_opt or ())
    capabilities = effective_capabilities(add=host.cap_add, drop=host.cap_drop, privileged=host.privileged)
    spec: RuntimeSpec = {
        "ociVersion": _VERSION,
        "process": _process(inputs, security, capabilities),
        "root": {"path": "rootfs", "readonly": host.readonly_rootfs},
        "mounts": _mounts(inputs, security),
        "linux": _linux(inputs, security, capabilities),
    }
    if inputs.hostname:
        spec["hostname"] = inputs.hostname
    if inputs.config.domainname:
        spec["domainname"] = inputs.config.domainname
    if host.annotations:
        spec["annotations"] = dict(host.annotations)
    return spec


def command_line(config: ContainerConfig) -> list[str]:
    """Return what the container runs: the entry point and its arguments."""
    return [*(config.entrypoint or ()), *(config.cmd or ())]


def environment(config: ContainerConfig, *, hostname: str, home: str, tty: bool) -> list[str]:
    """Return the environment of a process: the defaults, changed by the configuration."""
    defaults = [_PATH, f"HOSTNAME={hostname or config.hostname}", *(["TERM=xterm"] if tty else [])]
    merged = merge_environment(defaults, config.env or ())
    return merged if any(text.startswith("HOME=") for text in merged) else [*merged, f"HOME={home}"]


def runs_init(host_config: HostConfig) -> bool:
    """Whether ``--init`` has an effect: only as PID 1 of a PID namespace of its own."""
    return bool(host_config.init) and not host_config.pid_mode


def _process(inputs: BundleInputs, security: SecurityOptions, capabilities: list[str]) -> dict[str, Any]:
    config, host, user = inputs.config, inputs.host_config, inputs.user
    args = command_line(config)
    if inputs.init is not None:
        args = [INIT_PATH, "--", *args]
    process: dict[str, Any] = {
        "terminal": config.tty,
        "user": {
            "uid": user.uid,
            "gid": user.gid,
            "additionalGids": sorted({user.gid, *user.additional_gids}),
        },
        "args": args,
        "env": environment(config, hostname=inputs.hostname, home=user.home, tty=config.tty),
        "cwd": posixpath.normpath(config.working_dir or "/"),
        "capabilities": _capability_sets(capabilities, root=user.uid == 0),
        "noNewPrivileges": security.no_new_privileges,
        "oomScoreAdj": host.oom_score_adj,
    }
    if host.ulimits:
        process["rlimits"] = spec_rlimits(host.ulimits)
    if config.tty and host.console_size != (0, 0):
        process["consoleSize"] = {"height": host.console_size[0], "width": host.console_size[1]}
    if inputs.apparmor:
        process["apparmorProfile"] = apparmor_profile(host)
    if inputs.labels.process:
        process["selinuxLabel"] = inputs.labels.process
    return process


def _capability_sets(names: list[str], *, root: bool) -> dict[str, list[str]]:
    # Another user than root holds nothing after execve; the bounding set is what setuid
    # programs may regain.
    held = names if root else []
    return {"bounding": names, "effective": held, "permitted": held}


def _mounts(inputs: BundleInputs, security: SecurityOptions) -> list[dict[str, Any]]:
    host = inputs.host_config
    shared = joined_container(host.ipc_mode) is not None
    defaults = system_mounts(
        privileged=host.privileged,
        writable_cgroups=_writes_cgroups(inputs, security),
        shm_size=None if host.ipc_mode == "none" or shared else host.shm_size,
        host_ipc=host.ipc_mode == "host",
    )
    chosen = [dict(mount) for mount in inputs.mounts]
    destinations = {mount["destination"] for mount in chosen}
    files = [
        bind(source, destination, readonly=host.readonly_rootfs)
        for destination, source in inputs.files.items()
        if destination not in destinations
    ]
    if inputs.init is not None:
        files.append(bind(inputs.init, INIT_PATH, readonly=True))
    return replace_by_destination(defaults, chosen) + files


def _writes_cgroups(inputs: BundleInputs, security: SecurityOptions) -> bool:
    if inputs.id_mapping is None:
        return inputs.host_config.privileged if security.writable_cgroups is None else security.writable_cgroups
    if security.writable_cgroups is not None:
        raise SecurityOptionError("option WritableCgroups conflicts with user namespaces and rootless mode")
    # Who is root there is nobody to the groups of the host, and may manage those below its own.
    return True


def _linux(inputs: BundleInputs, security: SecurityOptions, capabilities: list[str]) -> dict[str, Any]:
    host = inputs.host_config
    linux: dict[str, Any] = {
        "namespaces": _namespaces(host, inputs.joined, user=inputs.id_mapping is not None),
        "cgroupsPath": inputs.cgroups_path,
        "resources": spec_resources(host, device_rules=_device_rules(inputs)),
        "maskedPaths": list(host.masked_paths or ()),
        "readonlyPaths": list(host.readonly_paths or ()),
    }
    if inputs.labels.mount:
        linux["mountLabel"] = inputs.labels.mount
    if inputs.id_mapping is not None:
        linux.update(inputs.id_mapping.spec())
    if inputs.devices:
        linux["devices"] = [device.spec() for device in inputs.devices]
    if sysctl := _sysctls(host, mapped=inputs.id_mapping is not None):
        linux["sysctl"] = sysctl
    if profile := _seccomp(inputs, security, capabilities):
        linux["seccomp"] = profile
    if propagation := _rootfs_propagation(inputs.mounts):
        linux["rootfsPropagation"] = propagation
    return linux


def _device_rules(inputs: BundleInputs) -> list[dict[str, Any]]:
    host = inputs.host_config
    if host.privileged:
        return list(ALLOW_ALL)
    custom = [parse_rule(text) for text in host.device_cgroup_rules or ()]
    return [*DEFAULT_RULES, *map(dict, inputs.device_rules), *custom]


def _namespaces(host: HostConfig, joined: Mapping[str, str], *, user: bool) -> list[dict[str, str]]:
    shared_with_host = {
        "user": not user,
        "network": host.network_mode == "host",
        "ipc": host.ipc_mode == "host",
        "pid": host.pid_mode == "host",
        "uts": host.uts_mode == "host",
        "cgroup": host.cgroupns_mode == "host",
        "mount": False,
    }
    wanted = [name for name, shared in shared_with_host.items() if not shared]
    return [{"type": name, "path": joined[name]} if name in joined else {"type": name} for name in wanted]


def _sysctls(host: HostConfig, *, mapped: bool) -> dict[str, str]:
    private = host.network_mode != "host" and joined_container(host.network_mode) is None
    # A container's own network needs no privilege for low ports and pings.
    defaults = {"net.ipv4.ip_unprivileged_port_start": "0"}
    if not mapped:
        # A user namespace has no such groups to name.
        defaults["net.ipv4.ping_group_range"] = "0 2147483647"
    return {**(defaults if private else {}), **host.sysctls}


def _seccomp(inputs: BundleInputs, security: SecurityOptions, capabilities: list[str]) -> SeccompObject | None:
    chosen = security.seccomp
    if not chosen:
        if inputs.host_config.privileged:
            return None
        chosen = inputs.seccomp_default or BUILTIN
    if chosen == UNCONFINED:
        return None
    if chosen == BUILTIN:
        return default_profile(capabilities, architecture=inputs.architecture)
    return custom_profile(chosen, capabilities, architecture=inputs.architecture, kernel=inputs.kernel)


def _rootfs_propagation(mounts: Sequence[Mapping[str, Any]]) -> str:
    words = {word for mount in mounts for word in mount["options"]}
    if words & {"shared", "rshared"}:
        return "shared"
    return "rslave" if words & {"slave", "rslave"} else ""
