"""Which mounts a container has: binds, volumes, tmpfs, images, and those it inherits.

Pure: the request becomes records. Volumes are created, and host paths looked at, by the
service that creates the container.

Spec: Engine API, HostConfig "Binds", "Mounts", "Tmpfs", "VolumesFrom"; MountPoint.
"""

import dataclasses
import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from moorage.api.containers import ContainerConfig
from moorage.api.host_config import HostConfig
from moorage.api.mounts import Mount, MountPoint
from moorage.engine.bundles.bind_syntax import (
    PROPAGATIONS,
    InvalidMountError,
    check_destination,
    check_source,
    check_target,
    check_tmpfs_options,
    check_volume_name,
    parse_bind,
    parse_mode,
)

_DEFAULT_PROPAGATION: Final = "rprivate"


class MountKind(enum.StrEnum):
    """Values of ``MountPoint.Type``."""

    BIND = "bind"
    VOLUME = "volume"
    TMPFS = "tmpfs"
    IMAGE = "image"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMount:
    """One mount of a container, as persisted.

    Attributes:
        name: The volume's name; empty for an anonymous volume that has none yet.
        source: The host path of a bind; of a volume once it is created; an image's name as it was given.
        create_source: Make a missing host path (``-v`` does, ``--mount`` refuses).
        copy_up: Fill an empty volume with what the image has at the destination.
        recursive_read_only: Read-only reaches the mounts below (Linux 5.12).
        options: Words for tmpfs.
        listed: Shown in inspect's ``Mounts`` (``--tmpfs`` ones are not).
        image_id: What the image's name meant when the container was created.
        chain_ids: That image's layers, base first: they outlive its removal by force.
    """

    kind: MountKind
    destination: str
    source: str = ""
    name: str = ""
    driver: str = ""
    mode: str = ""
    writable: bool = True
    propagation: str = ""
    recursive: bool = True
    recursive_read_only: bool = True
    force_recursive_read_only: bool = False
    create_source: bool = False
    copy_up: bool = True
    anonymous: bool = False
    subpath: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    driver_options: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    listed: bool = True
    image_id: str = ""
    chain_ids: tuple[str, ...] = ()


def plan_mounts(
    config: ContainerConfig,
    host_config: HostConfig,
    *,
    inherited: Iterable[PlannedMount] = (),
    data_root: str = "",
    recursive_read_only: bool = True,
) -> tuple[PlannedMount, ...]:
    """Return the mounts of a new container, shallow destinations first.

    Args:
        config: Merged with the image's; its ``Volumes`` become anonymous volumes unless
            something else is mounted there.
        host_config: What the user asked for.
        inherited: Mounts of the containers of ``VolumesFrom``, modes already applied.
        data_root: Of the daemon; a bind that has to do with it is a slave unless told otherwise.
        recursive_read_only: Whether read-only binds in the short syntax are so all the way down.

    Raises:
        InvalidMountError: In Docker's words.
    """
    explicit: dict[str, PlannedMount] = {}
    for planned in _explicit_mounts(host_config, data_root=data_root, recursive_read_only=recursive_read_only):
        if planned.destination in explicit:
            raise InvalidMountError(f"Duplicate mount point: {planned.destination}")
        explicit[planned.destination] = planned
    merged = {planned.destination: planned for planned in inherited} | explicit
    for destination in config.volumes or {}:
        # Of an image's volume the first slash may be missing.
        cleaned = check_destination(f"/{destination}")
        merged.setdefault(cleaned, _anonymous_volume(cleaned))
    return tuple(sorted(merged.values(), key=lambda planned: planned.destination.count("/")))


def with_volumes_from_mode(planned: PlannedMount, mode: str) -> PlannedMount:
    """Return an inherited mount as ``--volumes-from X:mode`` makes it."""
    writable = planned.writable and parse_mode(mode).writable
    return dataclasses.replace(planned, mode="", writable=writable, copy_up=False)


def _explicit_mounts(host_config: HostConfig, *, data_root: str, recursive_read_only: bool) -> Iterable[PlannedMount]:
    for text in host_config.binds or ():
        yield _from_bind(
            text,
            volume_driver=host_config.volume_driver or "",
            data_root=data_root,
            recursive_read_only=recursive_read_only,
        )
    for mount in host_config.mounts or ():
        yield plan_mount(mount, data_root=data_root)
    for destination, options in (host_config.tmpfs or {}).items():
        yield PlannedMount(
            kind=MountKind.TMPFS,
            destination=check_destination(destination),
            options=tuple(check_tmpfs_options(options)),
            listed=False,
        )


def holds_data_root(source: str, data_root: str) -> bool:
    """Tell whether a host path is around or in the daemon's data root, by its letters, as Docker does."""
    return bool(data_root) and (source.startswith(data_root) or data_root.startswith(source))


def _propagation(asked: str, source: str, data_root: str) -> str:
    """Return how mounts travel through a bind; one that has to do with the data root must follow the host."""
    if not holds_data_root(source, data_root):
        return asked or _DEFAULT_PROPAGATION
    # Docker's binds of / and the like show what the host mounts later, and monitoring relies on that.
    propagation = asked or "rslave"
    if propagation not in {"rslave", "rshared"}:
        raise InvalidMountError(
            'invalid mount config: must use either propagation mode "rslave" or "rshared" when mount source is within'
            f' the daemon root, daemon root: "{data_root}", bind mount source: "{source}", propagation: "{propagation}"'
        )
    return propagation


def _from_bind(text: str, *, volume_driver: str, data_root: str, recursive_read_only: bool) -> PlannedMount:
    parsed = parse_bind(text)
    if parsed.is_host_path:
        return PlannedMount(
            kind=MountKind.BIND,
            source=parsed.source,
            destination=parsed.destination,
            mode=parsed.mode.text,
            writable=parsed.mode.writable,
            propagation=_propagation(parsed.mode.propagation, parsed.source, data_root),
            recursive_read_only=recursive_read_only,
            create_source=True,
        )
    return PlannedMount(
        kind=MountKind.VOLUME,
        name=parsed.source,
        destination=parsed.destination,
        driver=volume_driver or "local",
        # Docker labels a volume as shared unless told otherwise, and says so in inspect.
        mode=parsed.mode.text or "z",
        writable=parsed.mode.writable,
        copy_up=not parsed.mode.nocopy,
        anonymous=not parsed.source,
    )


def _anonymous_volume(destination: str) -> PlannedMount:
    return PlannedMount(kind=MountKind.VOLUME, destination=destination, driver="local", anonymous=True)


def plan_mount(mount: Mount, *, data_root: str = "") -> PlannedMount:
    """Return one ``--mount`` (an entry of ``HostConfig.Mounts``) as a planned mount.

    Args:
        data_root: As for `plan_mounts`.

    Raises:
        InvalidMountError: In Docker's words.
    """
    try:
        _check_option_blocks(mount)
        planned = _by_type(mount, data_root)
    except InvalidMountError as error:
        raise InvalidMountError(f'invalid mount config for type "{mount.type}": {error}') from None
    check_volume_name(planned.name)
    return planned


def _by_type(mount: Mount, data_root: str) -> PlannedMount:
    destination = check_target(mount.target)
    match mount.type:
        case "bind":
            return _from_bind_mount(mount, destination, data_root)
        case "volume":
            return _from_volume_mount(mount, destination)
        case "tmpfs":
            return _from_tmpfs_mount(mount, destination)
        case "image":
            return _from_image_mount(mount, destination)
        case "npipe" | "cluster":
            raise InvalidMountError(f"mount type {mount.type} is not supported by Moorage")
        case _:
            raise InvalidMountError("mount type unknown")


def _check_option_blocks(mount: Mount) -> None:
    blocks = {
        "bind": ("BindOptions", mount.bind_options),
        "volume": ("VolumeOptions", mount.volume_options),
        "image": ("ImageOptions", mount.image_options),
        "tmpfs": ("TmpfsOptions", mount.tmpfs_options),
    }
    for kind, (name, block) in blocks.items():
        if kind != mount.type and block is not None:
            raise InvalidMountError(f"field {name} must not be specified")


def _from_bind_mount(mount: Mount, destination: str, data_root: str) -> PlannedMount:
    if not mount.source:
        raise InvalidMountError("field Source must not be empty")
    if not mount.source.startswith("/"):
        raise InvalidMountError(f"invalid mount path: '{mount.source}' mount path must be absolute")
    options = mount.bind_options
    asked = (options.propagation if options else None) or ""
    if asked and asked not in PROPAGATIONS:
        raise InvalidMountError(f"invalid propagation mode: {asked}")
    if options and options.read_only_non_recursive and options.read_only_force_recursive:
        raise InvalidMountError("ReadOnlyNonRecursive and ReadOnlyForceRecursive are mutually exclusive")
    if options and (options.read_only_non_recursive or options.read_only_force_recursive) and not mount.read_only:
        raise InvalidMountError("read-only options need ReadOnly: true")
    return PlannedMount(
        kind=MountKind.BIND,
        source=check_source(mount.source),
        destination=destination,
        writable=not mount.read_only,
        propagation=_propagation(asked, mount.source, data_root),
        recursive=not (options and options.non_recursive),
        recursive_read_only=not (options and options.read_only_non_recursive),
        force_recursive_read_only=bool(options and options.read_only_force_recursive),
        create_source=bool(options and options.create_mountpoint),
    )


def _from_volume_mount(mount: Mount, destination: str) -> PlannedMount:
    options = mount.volume_options
    driver = options.driver_config if options else None
    subpath = (options.subpath if options else None) or ""
    name = mount.source or ""
    if subpath and not name:
        raise InvalidMountError("must not set Subpath when using anonymous volumes")
    _check_subpath(subpath)
    return PlannedMount(
        kind=MountKind.VOLUME,
        name=name,
        destination=destination,
        driver=(driver.name if driver else None) or "local",
        mode="z",
        writable=not mount.read_only,
        copy_up=not (options and options.no_copy),
        anonymous=not name,
        subpath=subpath,
        labels=(options.labels if options else None) or {},
        driver_options=(driver.options if driver else None) or {},
    )


def _from_image_mount(mount: Mount, destination: str) -> PlannedMount:
    if not mount.source:
        raise InvalidMountError("field Source must not be empty")
    subpath = mount.image_options.subpath if mount.image_options else ""
    _check_subpath(subpath)
    return PlannedMount(
        kind=MountKind.IMAGE, source=mount.source, destination=destination, writable=False, subpath=subpath
    )


def _check_subpath(subpath: str) -> None:
    if subpath.startswith("/") or ".." in subpath.split("/"):
        # Docker says so of images as well.
        raise InvalidMountError("subpath must be a relative path within the volume")


def _from_tmpfs_mount(mount: Mount, destination: str) -> PlannedMount:
    if mount.source:
        raise InvalidMountError("field Source must not be specified")
    options = mount.tmpfs_options
    words = ["noexec", "nosuid", "nodev"]
    for option in (options.options if options else None) or ():
        # [["exec"], ["uid", "1000"]]: a word, or a name and its value.
        words = [word for word in words if word != "no" + option[0]]
        words += check_tmpfs_options("=".join(option))[-1:]
    if options and options.size_bytes:
        words.append(f"size={options.size_bytes}")
    if options and options.mode:
        words.append(f"mode={options.mode:o}")
    if mount.read_only:
        words.append("ro")
    return PlannedMount(
        kind=MountKind.TMPFS, destination=destination, writable=not mount.read_only, options=tuple(words)
    )


def mount_point(planned: PlannedMount) -> MountPoint:
    """Return a mount as inspect lists it."""
    return MountPoint(
        type=planned.kind.value,
        name=planned.source if planned.kind is MountKind.IMAGE else planned.name,
        source=planned.source,
        destination=planned.destination,
        driver=planned.driver,
        mode=planned.mode,
        rw=planned.writable,
        propagation=planned.propagation,
    )


def spec_mounts(mounts: Sequence[PlannedMount]) -> list[dict[str, Any]]:
    """Return the runtime-spec mounts, in the order in which they must be made.

    Spec: runtime-spec, config.md "Mounts".
    """
    return [_spec_mount(planned) for planned in mounts]


def _spec_mount(planned: PlannedMount) -> dict[str, Any]:
    if planned.kind is MountKind.TMPFS:
        return {
            "destination": planned.destination,
            "type": "tmpfs",
            "source": "tmpfs",
            "options": list(planned.options),
        }
    words = ["rbind" if planned.recursive else "bind"]
    if not planned.writable:
        words.append("ro")
        if planned.recursive_read_only and planned.recursive:
            words.append("rro")
    words.append(planned.propagation or _DEFAULT_PROPAGATION)
    return {"destination": planned.destination, "type": "bind", "source": planned.source, "options": words}
