"""Image configs: how an image wants to be run, and the stack of layers it is made of.

The document is OCI's with what Docker adds to it (Healthcheck, OnBuild, Shell, ArgsEscaped). The image ID is the
digest of the exact bytes, so a config that was received is never encoded again.

Spec: image-spec, config.md.
"""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from moorage.errors import InvalidParameterError
from moorage.oci.digest import DiffID
from moorage.oci.reference import InvalidReferenceError, check_digest

IMAGE_CONFIG_SIZE_LIMIT: Final = 16 << 20
"""Bytes; real configs stay below 100 kB, and this one is held in memory for every image."""


class InvalidImageConfigError(InvalidParameterError):
    """The bytes are not an image config this engine can use."""


class Healthcheck(msgspec.Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """A probe of the container's health; times in nanoseconds, 0 means the default."""

    test: tuple[str, ...] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


_Set = dict[str, dict[str, object]]
"""A set of strings as Go writes it: every member maps to an empty object."""


class ContainerDefaults(msgspec.Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """What a container of this image gets unless its creator says otherwise.

    The fields from `hostname` to `image` say nothing about an image; old versions of the
    Engine API print them, and images committed by Docker carry them.
    """

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: _Set | None = None
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    healthcheck: Healthcheck | None = None
    args_escaped: bool = False
    image: str = ""
    volumes: _Set | None = None
    working_dir: str = ""
    entrypoint: tuple[str, ...] | None = None
    on_build: tuple[str, ...] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    stop_timeout: int | None = None
    shell: tuple[str, ...] | None = None


class RootFS(msgspec.Struct, frozen=True, kw_only=True):
    """The layers by the digest of their uncompressed tar, base first."""

    type: str = "layers"
    diff_ids: tuple[DiffID, ...] = ()


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of the image's making; a step with `empty_layer` changed metadata only."""

    created: str | None = None
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One image for one platform."""

    architecture: str = ""
    os: str = ""
    variant: str = ""
    os_version: str = msgspec.field(name="os.version", default="")
    os_features: tuple[str, ...] | None = msgspec.field(name="os.features", default=None)
    created: str | None = None
    author: str = ""
    comment: str = ""
    container: str = ""
    container_config: ContainerDefaults | None = None
    docker_version: str = ""
    config: ContainerDefaults = msgspec.field(default_factory=ContainerDefaults)
    rootfs: RootFS = msgspec.field(default_factory=RootFS)
    history: Annotated[tuple[HistoryEntry, ...], msgspec.Meta(max_length=10_000)] = ()


_DECODER: Final = msgspec.json.Decoder(ImageConfig)
_COMMANDS: Final = frozenset({"Cmd", "Entrypoint", "Shell"})


def decode_image_config(raw: bytes) -> ImageConfig:
    """Read an image config, as leniently as Go's decoder does.

    Raises:
        InvalidImageConfigError: Not JSON, a field of the wrong type, or a rootfs that is not made of layers.
    """
    try:
        config = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidImageConfigError(f"invalid image config: {error}") from error
    if config.rootfs.type != "layers":
        raise InvalidImageConfigError(f"invalid rootfs type {config.rootfs.type!r} in image configuration")
    for diff_id in config.rootfs.diff_ids:
        try:
            check_digest(diff_id)
        except InvalidReferenceError as error:
            raise InvalidImageConfigError(f"invalid diff ID in image configuration: {error}") from error
    return config


def encode_image_config(config: ImageConfig) -> bytes:
    """Write a config that was made here, with `rootfs` and `history` spelled out even when they are empty."""
    document = msgspec.to_builtins(config)
    document["rootfs"] = {"type": config.rootfs.type, "diff_ids": list(config.rootfs.diff_ids)}
    document["history"] = [msgspec.to_builtins(entry) for entry in config.history]
    document.setdefault("config", {})
    return msgspec.json.encode(document)


def _decode(raw: bytes) -> ImageConfig:
    try:
        return _DECODER.decode(raw)
    except msgspec.ValidationError:
        # Rare: null where Go reads a zero value, or a command written as one string.
        return msgspec.convert(_relaxed(msgspec.json.decode(raw)), ImageConfig)


def _relaxed(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _relaxed_field(key, item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_relaxed(item) for item in value]
    return value


def _relaxed_field(key: object, value: object) -> object:
    if key in _COMMANDS and isinstance(value, str):
        return [value]
    return _relaxed(value)
