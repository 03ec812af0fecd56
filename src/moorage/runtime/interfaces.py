"""The network interfaces of a container's own network namespace, made from outside."""

from __future__ import annotations

import os

from moorage.kernel.namespaces import CloneFlag, open_namespace, setns
from moorage.netlink import interface
from moorage.runtime.errors import StartError, describe
from moorage.runtime.specification import namespace_paths
from moorage.runtime.sysctls import open_proc_sys, write_sysctls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from moorage.runtime.launch import Launch


def set_up_interfaces(launch: Launch, *, pid: int) -> None:
    """Make the container's interfaces and bring its loopback up.

    Nothing is done in a network namespace that is joined: it has an owner.

    Raises:
        StartError: The kernel refuses an interface.
    """
    if namespace_paths(launch.spec).get("network") != "":
        return
    if not launch.interfaces and not launch.loopback:
        return
    namespace_fd = open_namespace(pid, "network")
    try:
        interface.connect(launch.interfaces, namespace_fd=namespace_fd, loopback=launch.loopback)
        values: dict[str, str] = {}
        for plan in launch.interfaces:
            values.update(plan.get("sysctls") or {})
        if values:
            _write_inside(values, namespace_fd)
    except OSError as error:
        raise StartError(f"failed to set up container networking: {describe(error)}") from error
    finally:
        os.close(namespace_fd)


def _write_inside(values: Mapping[str, Any], namespace_fd: int) -> None:
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
