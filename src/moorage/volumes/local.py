"""The local driver: a directory per volume, or a file system mounted in its place.

Pure: options in, mounts out. A volume with ``type`` and ``device`` is mounted by each
container that uses it, inside its own mount namespace, so the host never has a mount
that could be left behind. One in memory is mounted by the first and shared by the others.

Spec: Engine API, VolumeCreateRequest "DriverOpts" of the local driver.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from moorage.kernel.mount import MountFlag
from moorage.volumes.models import Volume, VolumeOptionError

_KNOWN: Final = frozenset({"type", "o", "device"})
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_FLAGS: Final = {
    "ro": MountFlag.RDONLY,
    "nosuid": MountFlag.NOSUID,
    "nodev": MountFlag.NODEV,
    "noexec": MountFlag.NOEXEC,
    "sync": MountFlag.SYNCHRONOUS,
    "noatime": MountFlag.NOATIME,
    "bind": MountFlag.BIND,
    "rbind": MountFlag.BIND | MountFlag.REC,
}


def check_options(name: str, options: Mapping[str, str]) -> None:
    """Check the options of a new volume.

    Raises:
        VolumeOptionError: One is unknown, missing, or not supported.
    """
    for option in options:
        if option == "size":
            raise VolumeOptionError(f"create {name}: quota size requested but no quota support")
        if option not in _KNOWN:
            raise VolumeOptionError(f'create {name}: invalid option: "{option}"')
    if not options:
        return
    for needed in ("type", "device"):
        if needed not in options:
            raise VolumeOptionError(f'create {name}: missing required option: "{needed}"')


def in_memory(volume: Volume) -> bool:
    """Tell whether a volume's content is where it is mounted and nowhere else."""
    return (volume.options or {}).get("type") in _IN_MEMORY


def mount_options(volume: Volume) -> tuple[str, str, list[str]] | None:
    """Return the file system type, device and option words of a volume that is mounted.

    None means that the volume is the plain directory at its mount point.
    """
    options = volume.options or {}
    if not options.get("device"):
        return None
    return options["type"], options["device"], [word for word in options.get("o", "").split(",") if word]


def bound_directory(volume: Volume) -> str | None:
    """Return the directory of the host that a volume is; None if it is a file system of its own."""
    mounted = mount_options(volume)
    if mounted is None:
        return volume.mountpoint
    filesystem, device, words = mounted
    return device if filesystem == "none" or {"bind", "rbind"} & set(words) else None


def spec_mount(volume: Volume, *, destination: str, options: list[str], shared: str | None = None) -> dict[str, Any]:
    """Return the runtime-spec mount of a volume.

    Args:
        destination: Path inside the container.
        options: Words of a plain bind (``rbind``, ``ro``, propagation).
        shared: Where a volume in memory is mounted already.

    Spec: runtime-spec, config.md "Mounts".
    """
    mounted = mount_options(volume)
    if mounted is None:
        return {"destination": destination, "type": "bind", "source": volume.mountpoint, "options": options}
    filesystem, device, words = mounted
    if bound_directory(volume) is not None:
        return {"destination": destination, "type": "bind", "source": device, "options": [*options, *words]}
    if shared is not None:
        return {"destination": destination, "type": "bind", "source": shared, "options": options}
    access = [word for word in options if word == "ro"]
    return {"destination": destination, "type": filesystem, "source": device, "options": [*words, *access]}


def mount_failure(volume: Volume, reason: str) -> str:
    """Return Docker's sentence about a volume that can't be mounted.

    Args:
        reason: As the runtime words it: the system call, what it was about, and the error.
    """
    _, device, words = mount_options(volume) or ("", "", [])
    flags = MountFlag(0)
    for word in words:
        flags |= _FLAGS.get(word, 0)
    data = ",".join(word for word in words if word not in _FLAGS)
    parts = [f"mount {device}:{volume.mountpoint}"]
    parts += [f"flags: {flags:#x}"] if flags else []
    parts += [f"data: {data}"] if data else []
    cause = re.sub(rf"^\w+ ?(?:{re.escape(device)}|[^:]*): ", "", reason)
    mounted = f"{', '.join(parts)}: {cause}"
    return f"error while mounting volume '{volume.mountpoint}': failed to mount local volume: {mounted}"
