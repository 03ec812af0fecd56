"""Namespace modes of a request: are they known, and do they agree with each other?

Pure.

Spec: Engine API, HostConfig "NetworkMode", "IpcMode", "PidMode", "UTSMode", "CgroupnsMode", "UsernsMode".
"""

from collections.abc import Mapping
from typing import Final

from moorage.api.containers import ContainerConfig
from moorage.api.host_config import HostConfig
from moorage.engine.userns.allocation import requested_size
from moorage.errors import InvalidParameterError

_CONTAINER: Final = "container:"

_PLAIN_MODES: Final[Mapping[str, frozenset[str]]] = {
    "IPC": frozenset({"", "none", "private", "shareable", "host"}),
    "PID": frozenset({"", "host"}),
    "UTS": frozenset({"", "host"}),
    "cgroup namespace": frozenset({"", "private", "host"}),
}


class ModeError(InvalidParameterError):
    """A namespace mode is unknown or contradicts another option."""


def joined_container(mode: str) -> str | None:
    """Return the container that a mode ``container:X`` names, or None for another mode."""
    return mode.removeprefix(_CONTAINER) if mode.startswith(_CONTAINER) else None


def check_modes(config: ContainerConfig, host_config: HostConfig) -> None:
    """Check every namespace mode, and the options that a shared namespace rules out.

    Raises:
        ModeError: In Docker's words.
        UserNamespaceModeError: The user namespace mode is unknown.
    """
    for what, mode in (
        ("IPC", host_config.ipc_mode),
        ("PID", host_config.pid_mode),
        ("UTS", host_config.uts_mode),
        ("cgroup namespace", host_config.cgroupns_mode),
    ):
        joinable = what in {"IPC", "PID"} and bool(joined_container(mode))
        if mode not in _PLAIN_MODES[what] and not joinable:
            raise ModeError(f"invalid {what} mode: {mode}")
    requested_size(host_config.userns_mode)
    if host_config.isolation not in {"", "default"}:
        raise ModeError(f'invalid isolation "{host_config.isolation}" on linux')
    if host_config.uts_mode == "host" and config.hostname:
        raise ModeError("conflicting options: hostname and the UTS mode")
    _check_network_mode(config, host_config)


def _check_network_mode(config: ContainerConfig, host_config: HostConfig) -> None:
    mode = host_config.network_mode
    if mode == _CONTAINER or mode == _CONTAINER.rstrip(":"):
        raise ModeError("invalid container format container:<name|id>")
    if mode == "host" and host_config.links:
        raise ModeError(
            "conflicting options: host type networking can't be used with links. "
            "This would result in undefined behavior"
        )
    if joined_container(mode) is None:
        return
    conflicts = (
        ("hostname and the network mode", bool(config.hostname)),
        (
            "container type network can't be used with links. This would result in undefined behavior",
            bool(host_config.links),
        ),
        ("dns and the network mode", bool(host_config.dns)),
        ("custom host-to-IP mapping and the network mode", bool(host_config.extra_hosts)),
        (
            "port publishing and the container type network mode",
            bool(host_config.port_bindings or host_config.publish_all_ports),
        ),
        ("port exposing and the container type network mode", bool(config.exposed_ports)),
    )
    for text, conflicting in conflicts:
        if conflicting:
            raise ModeError(f"conflicting options: {text}")
