"""App Container Images: what their manifest says, in the terms of an image config.

Pure. The format is an older one than OCI's: a tar of `manifest` and of the root filesystem below `rootfs/`.

Spec: appc, aci.md "Image Manifest Schema" and "Image Archives"; types.md.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from moorage.content.compression import CorruptStreamError, decompressed
from moorage.errors import InvalidParameterError
from moorage.oci.image_config import ContainerDefaults
from moorage.oci.platform import Platform, host_platform, normalise
from moorage.oci.reference import InvalidReferenceError, Reference, parse_reference
from moorage.oci.tar import DIRECTORY, CorruptArchiveError
from moorage.oci.tar_reading import HeaderReader

MANIFEST: Final = b"manifest"
ROOTFS: Final = b"rootfs"
MANIFEST_LIMIT: Final = 1 << 20

_KIND: Final = "ImageManifest"
_ARCHITECTURES: Final = {"i386": "386", "aarch64": "arm64", "armv7l": "arm/v7", "armv6l": "arm/v6"}
_NO_TAG: Final = re.compile(r"[^A-Za-z0-9_.-]")


class InvalidAppcImageError(InvalidParameterError):
    """An App Container Image asks for what this engine cannot give, or is none."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid App Container Image: {reason}")


class _Pair(msgspec.Struct, frozen=True):
    name: str
    value: str = ""


class _Port(msgspec.Struct, frozen=True):
    port: int
    protocol: str = "tcp"
    count: int = 1


class _MountPoint(msgspec.Struct, frozen=True):
    path: str


class _App(msgspec.Struct, frozen=True, rename="camel"):
    exec: tuple[str, ...] = ()
    user: str = "0"
    group: str = "0"
    working_directory: str = ""
    environment: tuple[_Pair, ...] = ()
    mount_points: tuple[_MountPoint, ...] = ()
    ports: tuple[_Port, ...] = ()


class _Manifest(msgspec.Struct, frozen=True, rename="camel"):
    ac_kind: str
    name: str
    labels: tuple[_Pair, ...] | None = None
    app: _App | None = None
    annotations: tuple[_Pair, ...] | None = None
    dependencies: tuple[msgspec.Raw, ...] | None = None
    path_whitelist: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppcImage:
    """What a manifest says.

    Attributes:
        name: By its name and version; None if they make no name here.
    """

    defaults: ContainerDefaults
    platform: Platform
    name: Reference | None


def plain_name(name: bytes) -> bytes:
    """Return a member's name without what says that it counts from the top."""
    return b"/".join(part for part in name.split(b"/") if part not in {b"", b"."})


def may_be_appc(head: bytes) -> bool:
    """Tell from the beginning of an archive, compressed or not, whether it is worth looking for a manifest in it."""
    reader, data, at = HeaderReader(), b"", 0
    taken = iter((head,))
    try:
        for piece in decompressed(lambda _: next(taken, b"")):
            data += piece
            while (found := reader.read(memoryview(data), at, len(data))) is not None:
                member, at = found
                name = plain_name(member.name) if member else b""
                if member is None or name or member.kind != DIRECTORY:
                    return name == MANIFEST or name.split(b"/")[0] == ROOTFS
    except (CorruptStreamError, CorruptArchiveError):
        # The end is cut off on purpose; whoever reads it all will say what is wrong with it.
        return False
    return False


def decode_appc_manifest(raw: bytes) -> AppcImage | None:
    """Read a manifest; None if this is something else under its name.

    Raises:
        InvalidAppcImageError: It is one, but the image can't be used here.
    """
    try:
        manifest = msgspec.json.decode(raw, type=_Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if b'"acKind"' in raw:
            raise InvalidAppcImageError(str(error)) from error
        return None
    if manifest.ac_kind != _KIND:
        return None
    if manifest.dependencies:
        raise InvalidAppcImageError("it depends on other images, which cannot be fetched")
    if manifest.path_whitelist:
        raise InvalidAppcImageError("pathWhitelist is not supported")
    labels = {pair.name: pair.value for pair in manifest.labels or ()}
    platform = _platform(labels)
    shown = {name: value for name, value in labels.items() if name not in {"os", "arch"}}
    shown |= {pair.name: pair.value for pair in manifest.annotations or ()}
    return AppcImage(
        defaults=_defaults(manifest.app or _App(), labels=shown),
        platform=platform,
        name=_name(manifest.name, version=labels.get("version", "")),
    )


def _defaults(app: _App, *, labels: dict[str, str]) -> ContainerDefaults:
    root = (app.user, app.group) == ("0", "0")
    return ContainerDefaults(
        entrypoint=app.exec or None,
        user="" if root else f"{app.user}:{app.group}",
        working_dir=app.working_directory,
        env=tuple(f"{pair.name}={pair.value}" for pair in app.environment) or None,
        exposed_ports={port: {} for port in _ports(app.ports)} or None,
        volumes={point.path: {} for point in app.mount_points} or None,
        labels=labels or None,
    )


def _ports(ports: Sequence[_Port]) -> list[str]:
    for port in ports:
        if port.protocol not in {"tcp", "udp", "sctp"} or not 0 < port.port <= port.port + port.count - 1 <= 0xFFFF:
            raise InvalidAppcImageError(f"invalid port {port.port}/{port.protocol}")
    return [f"{port.port + n}/{port.protocol}" for port in ports for n in range(port.count)]


def _platform(labels: dict[str, str]) -> Platform:
    host = host_platform()
    system, architecture = labels.get("os", host.os), labels.get("arch", host.architecture)
    if system != host.os:
        raise InvalidAppcImageError(f'operating system "{system}" is not supported')
    architecture, _, variant = _ARCHITECTURES.get(architecture, architecture).partition("/")
    return normalise(os=system, architecture=architecture, variant=variant)


def _name(name: str, *, version: str) -> Reference | None:
    tag = _NO_TAG.sub("_", version)
    try:
        return parse_reference(f"{name}:{tag}" if tag else name).with_default_tag()
    except InvalidReferenceError:
        return None
