"""What the engine remembers of a volume, and the errors about one."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from moorage.errors import ConflictError, InvalidParameterError, NotFoundError

LOCAL: Final = "local"
ANONYMOUS_LABEL: Final = "com.docker.volume.anonymous"

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One named volume.

    Attributes:
        created_at: RFC 3339, in UTC.
        mountpoint: The directory that containers see.
        options: As given to ``--opt``; None if none were.
        labels: As given to ``--label``; None if none were.
    """

    name: str
    created_at: str
    mountpoint: str
    driver: str = LOCAL
    options: Mapping[str, str] | None = None
    labels: Mapping[str, str] | None = field(default=None)

    @property
    def anonymous(self) -> bool:
        """Whether the engine invented the name."""
        return ANONYMOUS_LABEL in (self.labels or {})


def anonymous_volume(labels: Mapping[str, str] | None) -> tuple[str, dict[str, str]]:
    """Invent the name of a volume that has none, and return it with the labels that tell so."""
    return secrets.token_hex(32), {ANONYMOUS_LABEL: "", **(labels or {})}


class VolumeNotFoundError(NotFoundError):
    """No volume has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"get {name}: no such volume")


class VolumeInUseError(ConflictError):
    """Containers use the volume."""

    def __init__(self, name: str, users: tuple[str, ...]) -> None:
        super().__init__(f"remove {name}: volume is in use - [{', '.join(users)}]")


class VolumeNameError(InvalidParameterError):
    """The text is no name for a volume."""


class VolumeOptionError(InvalidParameterError):
    """The local driver has no such option, or needs another one with it."""


class VolumeDriverNotFoundError(NotFoundError):
    """No driver has this name."""

    def __init__(self, name: str, driver: str) -> None:
        super().__init__(f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found')


def check_name(name: str) -> str:
    """Return `name` if a volume may be called so.

    Raises:
        VolumeNameError: In Docker's words.
    """
    if len(name) == 1:
        raise VolumeNameError(
            f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    if not _NAME.fullmatch(name):
        raise VolumeNameError(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )
    return name
