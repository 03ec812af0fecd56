"""The short syntax of mounts: ``-v``, ``--volumes-from`` and ``--tmpfs`` values.

Pure: text in, parts out; whether a path exists is asked elsewhere.

Spec: Engine API, HostConfig "Binds", "VolumesFrom", "Tmpfs".
"""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from moorage.errors import InvalidParameterError
from moorage.volumes.models import VolumeNameError, check_name

PROPAGATIONS: Final = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})

# The words of a mode; of each kind there may be one.
_MODE_KINDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("ro", "rw"), "access"),
    **dict.fromkeys(("z", "Z"), "label"),
    **dict.fromkeys(("consistent", "cached", "delegated"), "consistency"),
    **dict.fromkeys(PROPAGATIONS, "propagation"),
    "nocopy": "copy",
}

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
    refusal = f"invalid volume specification: '{text}'"
    # A destination with a mode, which looks like SOURCE:DESTINATION, needs a source.
    if len(parts) > 3 or not parts[0] or (len(parts) == 2 and is_mode(parts[1])):
        raise InvalidMountError(refusal)
    source, destination = ("", parts[0]) if len(parts) == 1 else (parts[0], parts[1])
    mode = parse_mode(parts[2] if len(parts) == 3 else "")
    kind = "bind" if source.startswith("/") else "volume"
    try:
        _check_kind(mode, kind=kind)
        cleaned = check_target(destination)
    except InvalidMountError as error:
        raise InvalidMountError(f'{refusal}: invalid mount config for type "{kind}": {error}') from None
    return BindText(source=check_source(source), destination=cleaned, mode=mode)


def _check_kind(mode: BindMode, *, kind: str) -> None:
    if kind == "volume" and mode.propagation:
        raise InvalidMountError("field BindOptions must not be specified")
    if kind == "bind" and mode.nocopy:
        raise InvalidMountError("field VolumeOptions must not be specified")


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


def check_target(target: str) -> str:
    """Return the cleaned path of a mount inside the container.

    Raises:
        InvalidMountError: It is missing, relative, or the root itself.
    """
    if not target:
        raise InvalidMountError("field Target must not be empty")
    return check_destination(target)


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


def is_mode(text: str) -> bool:
    """Tell whether a text is a mode; an empty one is."""
    words = text.split(",") if text else []
    kinds = [_MODE_KINDS.get(word) for word in words]
    return None not in kinds and len(set(kinds)) == len(kinds)


def parse_mode(text: str) -> BindMode:
    """Read the comma-separated words of a mode.

    Args:
        text: For example ``ro,z``; empty means read-write.

    Raises:
        InvalidMountError: A word is unknown, or two are of one kind.
    """
    if not is_mode(text):
        raise InvalidMountError(f"invalid mode: {text}")
    by_kind = {_MODE_KINDS[word]: word for word in text.split(",") if word}
    return BindMode(
        text=text,
        writable=by_kind.get("access") != "ro",
        propagation=by_kind.get("propagation", ""),
        nocopy="copy" in by_kind,
    )


def parse_volumes_from(text: str) -> tuple[str, str]:
    """Split ``CONTAINER[:MODE]`` into the container and its mode, empty if none is given.

    Raises:
        InvalidMountError: The mode is none that volumes-from takes.
    """
    if not text:
        raise InvalidMountError("volumes-from specification cannot be an empty string")
    container, _, mode = text.partition(":")
    if mode:
        parsed = parse_mode(mode)
        if parsed.nocopy or parsed.propagation:
            raise InvalidMountError(f"invalid mode: {mode}")
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
