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


class HostNetworkLinkError(ModeError):
    """A container on the host's network links, or is linked to."""

    def __init__(self) -> None:
        super().__init__(
            "conflicting options: host type networking can't be used with links. "
            "This would result in undefined behavior"
        )


def joined_container(mode: str) -> str | None:
    """Return the container that a mode ``container:X`` names, or None for another mode."""
    return mode.removeprefix(_CONTAINER) if mode.startswith(_CONTAINER) else None


def check_mode(what: str, mode: str) -> None:
    """Check that a mode is one of those that need no other container.

    Raises:
        ModeError: It is not, in Docker's words.
    """
    if mode not in _PLAIN_MODES[what]:
        raise ModeError(f"invalid {what} mode: {mode}")


def check_process_modes(host_config: HostConfig) -> None:
    """Check the modes of the namespaces that can be those of another container, and of users.

    Raises:
        ModeError: One is unknown, in Docker's words.
        UserNamespaceModeError: The user namespace mode is unknown.
    """
    for what, mode in (("IPC", host_config.ipc_mode), ("PID", host_config.pid_mode)):
        if not joined_container(mode):
            check_mode(what, mode)
    requested_size(host_config.userns_mode)


def check_shared_network(config: ContainerConfig, host_config: HostConfig) -> None:
    """Check what the network and UTS modes rule out, and the isolation.

    Raises:
        ModeError: In Docker's words.
    """
    _check_network_mode(config, host_config)
    if host_config.uts_mode == "host" and config.hostname:
        raise ModeError("conflicting options: hostname and the UTS mode")
    if host_config.network_mode == "host" and host_config.links:
        raise HostNetworkLinkError
    if host_config.isolation.lower() not in {"", "default"}:
        raise ModeError(f"invalid isolation ({host_config.isolation}): linux only supports 'default'")


def _check_network_mode(config: ContainerConfig, host_config: HostConfig) -> None:
    mode = host_config.network_mode
    if mode == _CONTAINER or mode == _CONTAINER.rstrip(":"):
        raise ModeError("invalid network mode: invalid container format container:<name|id>")
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
