"""The short syntax of mounts: ``-v``, ``--volumes-from`` and ``--tmpfs`` values.

Pure: text in, parts out; whether a path exists is asked elsewhere.

Spec: Engine API, HostConfig "Binds", "VolumesFrom", "Tmpfs".
"""

import posixpath
from dataclasses import dataclass
from typing import Final

from moorage.errors import InvalidParameterError
from moorage.volumes.models import VolumeNameError, check_name

PROPAGATIONS: Final = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})

_LABELS: Final = frozenset({"z", "Z"})
_CONSISTENCIES: Final = frozenset({"consistent", "cached", "delegated", "default"})

_TMPFS_FLAGS: Final = frozenset(
    """
    defaults ro rw suid nosuid dev nodev exec noexec sync async dirsync remount mand nomand
    atime noatime diratime nodiratime bind rbind unbindable runbindable private rprivate
    shared rshared slave rslave relatime norelatime strictatime nostrictatime
    """.split()
)
_TMPFS_VALUES: Final = frozenset({"mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "size"})


class InvalidMountError(InvalidParameterError):
    """A mount can't be understood or can't be made as written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BindMode:
    """The third part of ``-v``.

    Attributes:
        text: As given, for inspect.
        propagation: Empty if none was given.
    """

    text: str
    writable: bool
    propagation: str
    nocopy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BindText:
    """One ``-v`` value in its parts.

    Attributes:
        source: An absolute host path, a volume's name, or empty for an anonymous volume.
    """

    source: str
    destination: str
    mode: BindMode

    @property
    def is_host_path(self) -> bool:
        """Whether the source is a path of the host rather than a volume's name."""
        return self.source.startswith("/")


def parse_bind(text: str) -> BindText:
    """Split ``[SOURCE:]DESTINATION[:MODE]``.

    Raises:
        InvalidMountError: In Docker's words.
    """
    parts = text.split(":")
    if len(parts) > 3 or "" in parts[:2]:
        raise InvalidMountError(f"invalid volume specification: '{text}'")
    source, destination, mode = "", parts[0], ""
    if len(parts) == 2 and not parts[1].startswith("/"):
        # Two parts are SOURCE:DESTINATION; a destination with a mode needs a source.
        raise InvalidMountError(f"invalid volume specification: '{text}': {_not_absolute(parts[1])}")
    if len(parts) >= 2:
        source, destination = parts[0], parts[1]
    if len(parts) == 3:
        mode = parts[2]
    parsed_mode = parse_mode(mode, host_path=source.startswith("/"))
    try:
        cleaned = check_destination(destination)
    except InvalidMountError as error:
        raise InvalidMountError(f"invalid volume specification: '{text}': {error}") from None
    return BindText(source=check_source(source), destination=cleaned, mode=parsed_mode)


def check_source(source: str) -> str:
    """Return a cleaned host path, or the volume's name as it is.

    Raises:
        InvalidMountError: It is neither.
    """
    return posixpath.normpath(source) if source.startswith("/") else check_volume_name(source)


def check_volume_name(name: str) -> str:
    """Return a volume's name as it is; empty means anonymous.

    Raises:
        InvalidMountError: It is no name for a volume.
    """
    try:
        return check_name(name) if name else name
    except VolumeNameError as error:
        raise InvalidMountError(str(error)) from None


def check_destination(destination: str) -> str:
    """Return a cleaned path inside the container.

    Raises:
        InvalidMountError: It is relative, or the root itself.
    """
    if not destination.startswith("/"):
        raise InvalidMountError(_not_absolute(destination))
    # normpath keeps a leading "//", which POSIX allows and nobody means.
    cleaned = "/" + posixpath.normpath(destination).lstrip("/")
    if cleaned == "/":
        raise InvalidMountError("invalid specification: destination can't be '/'")
    return cleaned


def _not_absolute(path: str) -> str:
    return f"invalid mount path: '{path}' mount path must be absolute"


def parse_mode(text: str, *, host_path: bool) -> BindMode:
    """Read the comma-separated words of a mode.

    Args:
        text: For example ``ro,z``; empty means read-write.
        host_path: Propagation is for host paths only, ``nocopy`` for volumes only.

    Raises:
        InvalidMountError: A word is unknown, doubled, or of the other kind of mount.
    """
    words = text.split(",") if text else []
    kinds = [_mode_kind(word, host_path=host_path) for word in words]
    if None in kinds or len(set(kinds)) != len(kinds):
        raise InvalidMountError(f"invalid mode: {text}")
    by_kind = dict(zip(kinds, words, strict=True))
    return BindMode(
        text=text,
        writable=by_kind.get("access") != "ro",
        propagation=by_kind.get("propagation", ""),
        nocopy="copy" in by_kind,
    )


def _mode_kind(word: str, *, host_path: bool) -> str | None:
    if word in {"ro", "rw"}:
        return "access"
    if word in _LABELS:
        return "label"
    if word in _CONSISTENCIES:
        return "consistency"
    if word in PROPAGATIONS and host_path:
        return "propagation"
    if word == "nocopy" and not host_path:
        return "copy"
    return None


def parse_volumes_from(text: str) -> tuple[str, str]:
    """Split ``CONTAINER[:MODE]`` into the container and its mode, empty if none is given.

    Raises:
        InvalidMountError: The mode is none that volumes-from takes.
    """
    if not text:
        raise InvalidMountError("volumes-from specification cannot be an empty string")
    container, _, mode = text.partition(":")
    if mode:
        parsed = parse_mode(mode, host_path=False)
        if parsed.nocopy:
            raise InvalidMountError(f"invalid mode for volumes-from: {mode}")
    return container, mode


def check_tmpfs_options(text: str) -> list[str]:
    """Split a ``--tmpfs`` option text into mount option words, Docker's defaults first.

    Raises:
        InvalidMountError: A word is not one that tmpfs takes.
    """
    words = [word for word in text.split(",") if word]
    for word in words:
        key, separator, _ = word.partition("=")
        if key not in (_TMPFS_VALUES if separator else _TMPFS_FLAGS):
            raise InvalidMountError(f'invalid tmpfs option ["{word}"]')
    opposites = {"noexec": "exec", "nosuid": "suid", "nodev": "dev"}
    return [word for word, opposite in opposites.items() if opposite not in words] + words
