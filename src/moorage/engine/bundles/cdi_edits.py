"""Apply the edits of CDI devices to a container's configuration.

Spec: Container Device Interface, SPEC.md, "OCI Edits".
"""

import os
import posixpath
import stat
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from moorage.engine.bundles.merging import merge_environment
from moorage.errors import InvalidParameterError
from moorage.oci.cdi import ContainerEdits, DeviceNode, Hook, IntelRdt, Mount

_TYPES: Final[Mapping[int, str]] = {stat.S_IFBLK: "b", stat.S_IFCHR: "c", stat.S_IFIFO: "p"}
_FIFO: Final = "p"


class HostDeviceError(InvalidParameterError):
    """The host does not have a device as its specification says."""


def apply_edits(
    spec: dict[str, Any], edits: Iterable[ContainerEdits], *, lstat: Callable[[str], os.stat_result] = os.lstat
) -> None:
    """Change a runtime-spec configuration in place.

    Raises:
        HostDeviceError: A node of the host is missing or of another type.
    """
    for each in edits:
        process, linux = spec["process"], spec["linux"]
        if each.env:
            process["env"] = merge_environment(process["env"], each.env)
        for node in each.device_nodes or ():
            _add_node(spec, _completed(node, lstat=lstat))
        for device in each.net_devices or ():
            linux.setdefault("netDevices", {})[device.host_interface_name] = {"name": device.name}
        if each.mounts:
            _add_mounts(spec, each.mounts)
        for hook in each.hooks or ():
            spec.setdefault("hooks", {}).setdefault(hook.hook_name, []).append(_hook(hook))
        if each.intel_rdt:
            linux["intelRdt"] = _intel_rdt(each.intel_rdt)
        groups = process["user"].setdefault("additionalGids", [])
        groups += [gid for gid in dict.fromkeys(each.additional_gids or ()) if gid and gid not in groups]


def _add_node(spec: dict[str, Any], node: DeviceNode) -> None:
    linux, user = spec["linux"], spec["process"]["user"]
    entry: dict[str, Any] = {"path": node.path, "type": node.type}
    if node.type != _FIFO:
        entry |= {"major": node.major, "minor": node.minor}
    if node.file_mode is not None:
        entry["fileMode"] = node.file_mode
    # The node belongs to who is to use it, unless the vendor says otherwise.
    for key, given in (("uid", node.uid), ("gid", node.gid)):
        if given is not None or user[key] > 0:
            entry[key] = user[key] if given is None else given
    linux["devices"] = [other for other in linux.get("devices", ()) if other["path"] != node.path] + [entry]
    if node.type in {"b", "c"}:
        rule = {"allow": True, "type": node.type, "major": node.major, "minor": node.minor}
        linux["resources"].setdefault("devices", []).append({**rule, "access": node.permissions or "rwm"})


def _completed(node: DeviceNode, *, lstat: Callable[[str], os.stat_result]) -> DeviceNode:
    """Return a node with what its specification leaves to the host."""
    specified = node.type and (node.major != 0 or node.type == _FIFO)
    host_path = node.host_path or node.path
    try:
        status = lstat(host_path)
    except OSError as error:
        if specified:
            return node
        reason = os.strerror(error.errno or 0).lower()
        raise HostDeviceError(f'failed to stat CDI host device "{host_path}": {reason}') from None
    kind = _TYPES.get(stat.S_IFMT(status.st_mode))
    if not specified and kind is None:
        raise HostDeviceError(f'failed to stat CDI host device "{host_path}": not a device node')
    mode = stat.S_IMODE(status.st_mode) if node.file_mode is None else node.file_mode
    node = msgspec.structs.replace(node, file_mode=mode)
    if specified:
        return node
    if node.type and node.type != kind:
        raise HostDeviceError(f'CDI device ("{node.path}", "{host_path}"), host type mismatch ({node.type}, {kind})')
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return msgspec.structs.replace(node, type=kind or "", major=major, minor=minor)


def _add_mounts(spec: dict[str, Any], mounts: Iterable[Mount]) -> None:
    for mount in mounts:
        kept = [other for other in spec["mounts"] if other["destination"] != mount.container_path]
        entry: dict[str, Any] = {"destination": mount.container_path, "source": mount.host_path}
        if mount.type:
            entry["type"] = mount.type
        spec["mounts"] = [*kept, {**entry, "options": list(mount.options or ())}]
    # What is mounted in a directory comes after the directory.
    spec["mounts"].sort(key=lambda entry: posixpath.normpath(entry["destination"]).count("/"))


def _hook(hook: Hook) -> dict[str, Any]:
    optional = {"args": hook.args, "env": hook.env, "timeout": hook.timeout}
    return {"path": hook.path} | {key: value for key, value in optional.items() if value is not None}


def _intel_rdt(rdt: IntelRdt) -> dict[str, Any]:
    return {
        key: value
        for key, value in (
            ("closID", rdt.clos_id),
            ("l3CacheSchema", rdt.l3_cache_schema),
            ("memBwSchema", rdt.mem_bw_schema),
            ("schemata", rdt.schemata),
            ("enableMonitoring", rdt.enable_monitoring),
        )
        if value
    }
