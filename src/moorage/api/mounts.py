"""Mounts as a client asks for them, and mount points as a container has them.

Spec: Engine API, definitions "Mount" and "MountPoint".
"""

from msgspec import field

from moorage.api.wire import JSON, Model, always


class BindOptions(Model):
    """Options of mounts of type bind."""

    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


class VolumeDriverConfig(Model):
    """The driver that makes a volume which does not exist yet."""

    name: str = ""
    options: dict[str, str] = field(default_factory=dict)


class VolumeOptions(Model):
    """Options of mounts of type volume."""

    no_copy: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    subpath: str = ""
    driver_config: VolumeDriverConfig | None = None


class ImageOptions(Model):
    """Options of mounts of type image."""

    subpath: str = ""


class TmpfsOptions(Model):
    """Options of mounts of type tmpfs.

    Attributes:
        options: Mount options, each ["name"] or ["name", "value"].
    """

    size_bytes: int = 0
    mode: int = 0
    options: list[list[str]] = field(default_factory=list)


class Mount(Model):
    """A mount in the request for a container; `type` is bind, volume, tmpfs, image, npipe or cluster."""

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    image_options: ImageOptions | None = None
    tmpfs_options: TmpfsOptions | None = None
    cluster_options: dict[str, JSON] | None = None


class MountPoint(Model):
    """A mount of a container, as inspect and list show it."""

    type: str = ""
    name: str = ""
    source: str = always(default="")
    destination: str = always(default="")
    driver: str = ""
    mode: str = always(default="")
    rw: bool = always(default=False, name="RW")
    propagation: str = always(default="")
