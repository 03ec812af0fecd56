"""Devices of a container: the nodes in its ``/dev`` and the rules of its device cgroup.

Spec: Engine API, HostConfig "Devices", "DeviceCgroupRules";
runtime-spec, config-linux.md "Devices" and "Allowed Device list".
"""

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from moorage.api.host_config import DeviceMapping
from moorage.errors import InvalidParameterError

DeviceRule = dict[str, Any]
"""An entry of ``linux.resources.devices``."""

_DEVICE_FILE_SYSTEMS: Final = frozenset({"devtmpfs", "tmpfs", "devpts"})
_RULE: Final = re.compile(r"([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})")

DEFAULT_RULES: Final[tuple[DeviceRule, ...]] = (
    {"allow": False, "access": "rwm"},
    {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
    {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
    {"allow": True, "type": "c", "major": 1, "minor": 7, "access": "rwm"},
    {"allow": True, "type": "c", "major": 1, "minor": 8, "access": "rwm"},
    {"allow": True, "type": "c", "major": 1, "minor": 9, "access": "rwm"},
    {"allow": True, "type": "c", "major": 5, "minor": 0, "access": "rwm"},
    {"allow": True, "type": "c", "major": 5, "minor": 1, "access": "rwm"},
    {"allow": True, "type": "c", "major": 5, "minor": 2, "access": "rwm"},
    {"allow": True, "type": "c", "major": 136, "access": "rwm"},
    # Creating a node is harmless while opening it is refused; package managers do it.
    {"allow": True, "type": "c", "access": "m"},
    {"allow": True, "type": "b", "access": "m"},
)
"""Nothing but the devices every container has: null, zero, full, random, urandom, the terminals."""

ALLOW_ALL: Final[tuple[DeviceRule, ...]] = ({"allow": True, "access": "rwm"},)


class DeviceError(InvalidParameterError):
    """A device or a device rule can't be given to a container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDevice:
    """One node of the host, as a container gets it."""

    path: str
    kind: str
    major: int
    minor: int
    file_mode: int
    uid: int
    gid: int

    def spec(self) -> dict[str, Any]:
        """Return the entry of ``linux.devices``."""
        return {
            "path": self.path,
            "type": self.kind,
            "major": self.major,
            "minor": self.minor,
            "fileMode": self.file_mode,
            "uid": self.uid,
            "gid": self.gid,
        }

    def rule(self, access: str) -> DeviceRule:
        """Return the rule that lets the container use the node."""
        return {"allow": True, "type": self.kind, "major": self.major, "minor": self.minor, "access": access}


def parse_rule(text: str) -> DeviceRule:
    """Parse one ``--device-cgroup-rule``, for example ``c 42:* rmw``.

    Raises:
        DeviceError: The text is not of that form.
    """
    match = _RULE.fullmatch(text)
    if match is None:
        raise DeviceError(f"invalid device cgroup rule format: '{text}'")
    kind, major, minor, access = match.groups()
    rule: DeviceRule = {"allow": True, "type": kind, "access": access}
    numbers = {"major": major, "minor": minor}
    return rule | {key: int(number) for key, number in numbers.items() if number != "*"}


def collect_devices(mappings: Iterable[DeviceMapping]) -> tuple[list[HostDevice], list[DeviceRule]]:
    """Look the devices of ``--device`` up on the host.

    A directory gives every node below it.

    Raises:
        DeviceError: The path is missing or holds no device.
    """
    devices: list[HostDevice] = []
    rules: list[DeviceRule] = []
    for mapping in mappings:
        host_path = mapping.path_on_host or ""
        inside = mapping.path_in_container or host_path
        access = mapping.cgroup_permissions or "rwm"
        if not host_path:
            # As a path it would be the daemon's own working directory.
            raise _unusable(host_path, os.strerror(errno.ENOENT).lower())
        found = list(_nodes(Path(host_path), Path(inside)))
        if not found:
            raise _unusable(host_path, "not a device node")
        devices += found
        rules += [device.rule(access) for device in found]
    return devices, rules


def _unusable(host_path: str, reason: str) -> DeviceError:
    return DeviceError(f'error gathering device information while adding custom device "{host_path}": {reason}')


def all_host_devices() -> list[HostDevice]:
    """Return every node of the host's ``/dev`` for a privileged container.

    Terminals, shared memory and the like are the container's own and are left out.
    """
    skipped = {"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", "console"}
    foreign = _foreign_mounts(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    return [
        device
        for entry in sorted(Path("/dev").iterdir())
        if entry.name not in skipped and str(entry) not in foreign and not entry.is_symlink()
        for device in _nodes(entry, entry, missing_ok=True)
    ]


def _foreign_mounts(mountinfo: str) -> set[str]:
    """Return where file systems are mounted that hold no devices, and may be on a disk that does not answer."""
    lines = [line.split() for line in mountinfo.splitlines()]
    return {words[4] for words in lines if words[words.index("-") + 1] not in _DEVICE_FILE_SYSTEMS}


def _nodes(host: Path, inside: Path, *, missing_ok: bool = False) -> Iterator[HostDevice]:
    try:
        status = host.stat()
        entries = sorted(host.iterdir()) if stat.S_ISDIR(status.st_mode) else []
    except OSError as error:
        if missing_ok:
            return
        raise _unusable(str(host), os.strerror(error.errno or 0).lower()) from None
    for entry in entries:
        if not entry.is_symlink():
            yield from _nodes(entry, inside / entry.name, missing_ok=True)
    kinds: Mapping[int, str] = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}
    if kind := kinds.get(stat.S_IFMT(status.st_mode)):
        yield HostDevice(
            path=str(inside),
            kind=kind,
            major=os.major(status.st_rdev),
            minor=os.minor(status.st_rdev),
            file_mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
        )
