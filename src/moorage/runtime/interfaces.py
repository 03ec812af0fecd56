"""The network interfaces of a container's own network namespace, made from outside."""

from __future__ import annotations

import os

from moorage.kernel.namespaces import CloneFlag, open_namespace, setns
from moorage.netlink import interface, link
from moorage.netlink.socket import NetlinkSocket
from moorage.runtime.errors import StartError, describe
from moorage.runtime.net_devices import move_devices
from moorage.runtime.specification import namespace_paths, section
from moorage.runtime.sysctls import open_proc_sys, write_sysctls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from moorage.runtime.launch import Launch


def set_up_interfaces(launch: Launch, *, pid: int) -> None:
    """Make the container's interfaces and bring its loopback up.

    A network namespace that is joined has an owner; it only gets devices that are moved into it.

    Raises:
        StartError: The kernel refuses an interface.
    """
    devices = section(launch.spec, "linux", "netDevices")
    path = namespace_paths(launch.spec).get("network")
    if path != "" and not devices:
        return
    loopback = launch.loopback and not sets_loopback_up_itself(launch)
    if path == "" and not launch.interfaces and not loopback and not devices:
        return
    namespace_fd = open_namespace(pid, "network")
    try:
        fill_namespace(launch, namespace_fd, loopback=loopback, is_new=path == "")
    finally:
        os.close(namespace_fd)


def fill_namespace(launch: Launch, namespace_fd: int, *, loopback: bool, is_new: bool) -> None:
    """Put into a network namespace what the container is to have there.

    Args:
        is_new: It is the container's own; another one only gets devices that are moved into it.

    Raises:
        StartError: The kernel refuses an interface.
    """
    try:
        if is_new:
            interface.connect(launch.interfaces, namespace_fd=namespace_fd, loopback=loopback)
        move_devices(section(launch.spec, "linux", "netDevices"), namespace_fd=namespace_fd)
        write_interface_sysctls(launch.interfaces, namespace_fd)
    except OSError as error:
        raise StartError(f"failed to set up container networking: {describe(error)}") from error


def write_interface_sysctls(plans: Iterable[Mapping[str, Any]], namespace_fd: int) -> None:
    """Write the sysctls that belong to interfaces, once these exist."""
    values: dict[str, str] = {}
    for plan in plans:
        values.update(plan.get("sysctls") or {})
    if values:
        write_inside(values, namespace_fd)


def sets_loopback_up_itself(launch: Launch) -> bool:
    """Tell whether the child is the one to bring the loopback up.

    In a user namespace of its own it can, and an unprivileged parent can't enter there.
    """
    paths = namespace_paths(launch.spec)
    return launch.loopback and paths.get("network") == "" and paths.get("user") == ""


def set_loopback_up() -> None:
    """Bring the loopback of the caller's own network namespace up."""
    with NetlinkSocket() as netlink:
        netlink.send(link.up(link.LOOPBACK_INDEX))


def write_inside(values: Mapping[str, Any], namespace_fd: int) -> None:
    """Write sysctls of a network namespace."""
    # /proc/sys/net shows the namespace of who looks.
    own_fd = open_namespace("self", "network")
    try:
        setns(namespace_fd, CloneFlag.NEWNET)
        try:
            proc_sys_fd = open_proc_sys()
            try:
                write_sysctls(values, proc_sys_fd)
            finally:
                os.close(proc_sys_fd)
        finally:
            setns(own_fd, CloneFlag.NEWNET)
    finally:
        os.close(own_fd)
