"""The local driver: a directory per volume, or a file system mounted in its place.

Pure: options in, mounts out. A volume with ``type`` and ``device`` is mounted by each
container that uses it, inside its own mount namespace, so the host never has a mount
that could be left behind.

Spec: Engine API, VolumeCreateRequest "DriverOpts" of the local driver.
"""

from collections.abc import Mapping
from typing import Any, Final

from moorage.volumes.models import Volume, VolumeOptionError

_KNOWN: Final = frozenset({"type", "o", "device"})
_PER_MOUNT: Final = frozenset({"tmpfs", "ramfs"})


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
    if options["type"] in _PER_MOUNT:
        raise VolumeOptionError(
            f"create {name}: a volume of type {options['type']} is not supported by Moorage: "
            "it would be empty and separate in each container; use --tmpfs or --mount type=tmpfs"
        )


def mount_options(volume: Volume) -> tuple[str, str, list[str]] | None:
    """Return the file system type, device and option words of a volume that is mounted.

    None means that the volume is the plain directory at its mount point.
    """
    options = volume.options or {}
    if not options.get("device"):
        return None
    return options["type"], options["device"], [word for word in options.get("o", "").split(",") if word]


def spec_mount(volume: Volume, *, destination: str, options: list[str]) -> dict[str, Any]:
    """Return the runtime-spec mount of a volume.

    Args:
        destination: Path inside the container.
        options: Words of a plain bind (``rbind``, ``ro``, propagation).

    Spec: runtime-spec, config.md "Mounts".
    """
    mounted = mount_options(volume)
    if mounted is None:
        return {"destination": destination, "type": "bind", "source": volume.mountpoint, "options": options}
    filesystem, device, words = mounted
    if filesystem == "none" or {"bind", "rbind"} & set(words):
        return {"destination": destination, "type": "bind", "source": device, "options": [*options, *words]}
    access = [word for word in options if word == "ro"]
    return {"destination": destination, "type": filesystem, "source": device, "options": [*words, *access]}
