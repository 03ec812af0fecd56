"""The mounts of a specification, in two steps.

`prepare` runs while the host is still visible: it takes a private copy of every bind
source, makes every file system, and gives them their attributes. `attach` runs inside the
container's root, in the listed order. So no path of the host is resolved after the
image's files can be seen, and no path of the image before they are all there is. In a user
namespace there is another reason: a new /proc is only made while another one can be seen.

Spec: runtime-spec, config.md "Mounts".
"""

from __future__ import annotations

import errno
import os
import stat

from moorage.kernel import mount_fd, overlay, statfs
from moorage.kernel.idmap import idmap_mount
from moorage.kernel.libc import AT_EMPTY_PATH, AT_RECURSIVE
from moorage.kernel.mount import MountFlag
from moorage.runtime import copying, destinations
from moorage.runtime.errors import InvalidSpecError, StartError, describe
from moorage.runtime.foreign_mounts import open_tree_anywhere
from moorage.runtime.options import MountOptions, parse_options

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH118

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

_REC: Final = int(MountFlag.REC)
_CGROUP_TYPES: Final = frozenset({"cgroup", "cgroup2"})
# Kernel file systems are read-only by mount, never by superblock: that one may be shared.
_KERNEL_TYPES: Final = frozenset({"proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "overlay"})
_LAYER: Final = "lowerdir+="
# What `overlay` itself says of every mount that it makes.
_OWN_WORDS: Final = tuple(f"{name}=" for name, _ in overlay.SELF_CONTAINED)
# These have labels of the kernel's own.
_UNLABELLED_TYPES: Final = frozenset({"proc", "sysfs", "cgroup", "cgroup2"})
# Only these may be covered inside /proc: programs trust the rest of it to be the kernel's.
_COVERABLE_IN_PROC: Final = frozenset(
    f"/proc/{name}"
    for name in (
        "cpuinfo",
        "diskstats",
        "loadavg",
        "meminfo",
        "net/dev",
        "slabinfo",
        "stat",
        "swaps",
        "sys/crypto/fips_enabled",
        "sys/kernel/ns_last_pid",
        "sys/kernel/random/boot_id",
        "uptime",
    )
)


class PreparedMount:
    """One mount on its way.

    Attributes:
        label: SELinux context of everything in a new file system, or "".
        tree_fd: The detached mount, ready to be attached; -1 if one is only changed.
        is_directory: Whether a bind mount's source is a directory.
    """

    __slots__ = ("destination", "fstype", "is_directory", "label", "options", "source", "tree_fd")

    def __init__(self, entry: Mapping[str, Any], *, label: str = "") -> None:
        self.label = label
        self.destination = destinations.clean(entry["destination"])
        self.options: MountOptions = parse_options(entry.get("options") or ())
        self.source: str = entry.get("source") or ""
        self.fstype: str = entry.get("type") or ""
        if self.fstype == "bind" and not self.options.bind:
            self.options.bind = True
        self.tree_fd = -1
        self.is_directory = True

    @property
    def fills(self) -> bool:
        """Whether it begins as a copy of what it covers."""
        return self.options.copy_up and self.fstype == "tmpfs"

    @property
    def is_cgroup(self) -> bool:
        """Whether it shows the control groups, which needs to know the container's own."""
        return self.fstype in _CGROUP_TYPES and not self.options.bind


def is_bind(entry: Mapping[str, Any]) -> bool:
    """Tell whether a mount of the specification shows something of the host anew."""
    words = entry.get("options") or ()
    return (entry.get("type") == "bind" or "bind" in words or "rbind" in words) and "remount" not in words


def prepare(entry: Mapping[str, Any], *, bundle: str, userns_fd: int, label: str = "") -> PreparedMount:
    """Read one mount of the specification, and make it; only its place is left open.

    Args:
        bundle: What a relative source is relative to.
        label: SELinux context of new file systems that keep one, or "".
        userns_fd: The user namespace that owners are mapped by, if they are: one with the
            mount's own mappings, or else the container's; -1 without any.

    Raises:
        StartError: The source is missing, or the kernel refuses an option.
    """
    prepared = PreparedMount(entry, label=label)
    if prepared.options.idmap and not prepared.options.bind:
        raise InvalidSpecError(f"mount {prepared.destination}: only a bind mount can be ID-mapped")
    if prepared.options.remount or prepared.is_cgroup:
        return prepared
    try:
        if prepared.options.bind:
            prepared.source = os.path.join(bundle, prepared.source)
            _take_source(prepared, userns_fd, mapped=bool(entry.get("uidMappings")))
        else:
            prepared.tree_fd = new_file_system(prepared)
    except OSError as error:
        raise _mount_error(prepared, error) from error
    return prepared


def _take_source(prepared: PreparedMount, userns_fd: int, *, mapped: bool) -> None:
    options = prepared.options
    recursive = AT_RECURSIVE if options.recursive_bind else 0
    flags = mount_fd.OPEN_TREE_CLONE | mount_fd.OPEN_TREE_CLOEXEC | recursive
    prepared.tree_fd = open_tree_anywhere(prepared.source, flags)
    prepared.is_directory = stat.S_ISDIR(os.fstat(prepared.tree_fd).st_mode)
    if options.idmap or mapped:
        if userns_fd < 0:
            place = prepared.destination
            raise InvalidSpecError(f"mount {place}: {options.idmap} needs mappings or a user namespace")
        idmap_mount(prepared.tree_fd, userns_fd, recursive=options.idmap == "ridmap")
    apply_attributes(prepared.tree_fd, options)


def apply_attributes(fd: int, options: MountOptions) -> None:
    """Give a mount its attributes and propagation, those for all below it last."""
    if options.attr_set or options.attr_clr:
        _set_attributes(fd, 0, options.attr_set, options.attr_clr)
    if options.recursive_set or options.recursive_clr:
        _set_attributes(fd, AT_RECURSIVE, options.recursive_set, options.recursive_clr)
    for propagation in options.propagation:
        set_propagation(fd, propagation)


def _set_attributes(fd: int, flags: int, attr_set: int, attr_clr: int) -> None:
    attributes = mount_fd.mount_attributes(attr_set=attr_set, attr_clr=attr_clr)
    mount_fd.mount_setattr(fd, "", AT_EMPTY_PATH | flags, attributes)


def set_propagation(fd: int, propagation: int) -> None:
    """Set the propagation of a mount: `MountFlag` values, with REC of all below it too."""
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if propagation & _REC else 0)
    mount_fd.mount_setattr(fd, "", flags, mount_fd.mount_attributes(propagation=propagation & ~_REC))


def attach(root_fd: int, prepared: PreparedMount) -> None:
    """Put a prepared mount in its place, which is made if missing.

    Raises:
        StartError: The place or the mount is refused.
    """
    try:
        target_fd = _open_target(root_fd, prepared)
        try:
            _attach(target_fd, prepared)
        finally:
            os.close(target_fd)
    except OSError as error:
        raise _mount_error(prepared, error) from error
    finally:
        if prepared.tree_fd >= 0:
            os.close(prepared.tree_fd)
            prepared.tree_fd = -1


def _open_target(root_fd: int, prepared: PreparedMount) -> int:
    path = prepared.destination
    if path == "/proc" and prepared.tree_fd >= 0:
        _check_proc(prepared.tree_fd)
    if prepared.fstype in {"proc", "sysfs"} and not prepared.options.bind:
        return destinations.open_plain_directory(root_fd, path)
    if prepared.is_directory:
        target_fd = destinations.open_directory(root_fd, path)
    else:
        target_fd = destinations.open_file(root_fd, path)
    in_proc = statfs.file_system_type(target_fd) == statfs.PROC_SUPER_MAGIC
    if (in_proc or path.startswith("/proc/")) and path not in _COVERABLE_IN_PROC and not prepared.options.remount:
        os.close(target_fd)
        raise StartError(f'"{path}" cannot be mounted because it is inside /proc')
    return target_fd


def _check_proc(tree_fd: int) -> None:
    """Refuse another file system in the place of /proc: what is written there would reach its owner."""
    if statfs.file_system_type(tree_fd) != statfs.PROC_SUPER_MAGIC:
        raise StartError('"/proc" cannot be mounted because it is not of type proc')


def _attach(target_fd: int, prepared: PreparedMount) -> None:
    if prepared.options.remount:
        _remount(target_fd, prepared.options)
        return
    if prepared.fills:
        _copy_up(target_fd, prepared)
    attach_tree(prepared.tree_fd, target_fd)


def attach_tree(tree_fd: int, target_fd: int) -> None:
    """Attach a detached mount on top of what an O_PATH fd stands for."""
    flags = mount_fd.MOVE_MOUNT_F_EMPTY_PATH | mount_fd.MOVE_MOUNT_T_EMPTY_PATH
    try:
        mount_fd.move_mount(tree_fd, "", target_fd, "", flags)
    except OSError as error:
        # The kernel calls a file on a directory an invalid argument; everybody else words it as mount(2) does.
        if error.errno == errno.EINVAL and _is_directory(tree_fd) != _is_directory(target_fd):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error
        raise


def _is_directory(fd: int) -> bool:
    return stat.S_ISDIR(os.fstat(fd).st_mode)


def new_file_system(prepared: PreparedMount) -> int:
    """Make the file system that is asked for; return the detached mount's fd."""
    layers = [word.removeprefix(_LAYER) for word in prepared.options.data if word.startswith(_LAYER)]
    try:
        return _new_file_system(prepared)
    except OSError as error:
        if prepared.fstype != "overlay" or not layers or error.errno != errno.EINVAL:
            raise
    # Before Linux 6.5 layers can't be given one by one.
    return _overlay_by_path(prepared, layers)


def _overlay_by_path(prepared: PreparedMount, layers: list[str]) -> int:
    words = [word for word in prepared.options.data if not word.startswith(_LAYER) and not word.startswith(_OWN_WORDS)]
    if prepared.label:
        words.append(f'context="{prepared.label}"')
    tree_fd = overlay.mount_overlay(layers[0], lower=layers, options=",".join(words))
    apply_attributes(tree_fd, prepared.options)
    return tree_fd


def _new_file_system(prepared: PreparedMount) -> int:
    options = prepared.options
    fs_fd = mount_fd.fsopen(prepared.fstype)
    try:
        configure(fs_fd, source=prepared.source, options=options)
        if prepared.label and prepared.fstype not in _UNLABELLED_TYPES:
            mount_fd.fsconfig(fs_fd, mount_fd.FsConfig.SET_STRING, "context", prepared.label)
        if options.read_only and prepared.fstype not in _KERNEL_TYPES:
            mount_fd.fsconfig(fs_fd, mount_fd.FsConfig.SET_FLAG, "ro")
        mount_fd.fsconfig(fs_fd, mount_fd.FsConfig.CMD_CREATE)
        # A tmpfs that has to be filled becomes read-only afterwards.
        tree_fd = mount_fd.fsmount(fs_fd, attributes=0 if prepared.fills else options.attr_set)
    finally:
        os.close(fs_fd)
    if not prepared.fills and (options.recursive_set or options.recursive_clr or options.propagation):
        apply_attributes(tree_fd, options)
    return tree_fd


def configure(fs_fd: int, *, source: str, options: MountOptions) -> None:
    """Pass source, flags and data to a file system context."""
    if source:
        mount_fd.fsconfig(fs_fd, mount_fd.FsConfig.SET_STRING, "source", source)
    for flag in options.superblock:
        mount_fd.fsconfig(fs_fd, mount_fd.FsConfig.SET_FLAG, flag)
    for word in options.data:
        key, separator, value = word.partition("=")
        command = mount_fd.FsConfig.SET_STRING if separator else mount_fd.FsConfig.SET_FLAG
        mount_fd.fsconfig(fs_fd, command, key, value if separator else None)


def _remount(target_fd: int, options: MountOptions) -> None:
    if options.superblock or options.data:
        fs_fd = mount_fd.fspick(target_fd, "", mount_fd.FSPICK_CLOEXEC | mount_fd.FSPICK_EMPTY_PATH)
        try:
            configure(fs_fd, source="", options=options)
            mount_fd.fsconfig(fs_fd, mount_fd.FsConfig.CMD_RECONFIGURE)
        finally:
            os.close(fs_fd)
    apply_attributes(target_fd, options)


def _copy_up(target_fd: int, prepared: PreparedMount) -> None:
    tree_fd = prepared.tree_fd
    chosen_mode = any(word.startswith("mode=") for word in prepared.options.data)
    source_fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=target_fd)
    try:
        status = os.fstat(source_fd)
        copying.copy_tree(source_fd, tree_fd)
        os.chown(".", status.st_uid, status.st_gid, dir_fd=tree_fd)
        if not chosen_mode:
            os.chmod(".", stat.S_IMODE(status.st_mode), dir_fd=tree_fd)
    finally:
        os.close(source_fd)
    apply_attributes(tree_fd, prepared.options)


def _mount_error(prepared: PreparedMount, error: OSError) -> StartError:
    source = prepared.source or prepared.fstype
    return StartError(f'error mounting "{source}" to rootfs at "{prepared.destination}": {describe(error)}')
