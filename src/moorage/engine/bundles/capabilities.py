"""The capabilities of a container: Docker's default set, changed by ``--cap-add`` and ``--cap-drop``.

Pure: what the kernel of this host can grant is the runtime's concern.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from moorage.errors import InvalidParameterError
from moorage.kernel.capabilities import NAMES

DEFAULT_CAPABILITIES: Final[tuple[str, ...]] = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)
"""What an unprivileged container gets; the order is the one `docker inspect` users know."""

_ALL: Final = "ALL"
_KNOWN: Final = frozenset(NAMES)


class UnknownCapabilityError(InvalidParameterError):
    """A name is no capability of Linux."""

    def __init__(self, field: str, name: str) -> None:
        super().__init__(f'invalid {field}: unknown capability: "{name}"')


def normalize(names: Iterable[str], *, field: str) -> tuple[str, ...]:
    """Return capability names in the form ``CAP_X``, without repeats; ``ALL`` stays.

    Args:
        names: As users write them: any case, with or without ``CAP_``.
        field: ``CapAdd`` or ``CapDrop``, for the message.

    Raises:
        UnknownCapabilityError: A name is neither a capability nor ``ALL``.
    """
    seen: dict[str, None] = {}
    for name in names:
        upper = name.strip().upper()
        if upper not in {_ALL, "CAP_ALL"} and not upper.startswith("CAP_"):
            upper = "CAP_" + upper
        if upper == "CAP_ALL":
            upper = _ALL
        if upper != _ALL and upper not in _KNOWN:
            raise UnknownCapabilityError(field, upper)
        seen[upper] = None
    return tuple(seen)


def effective_capabilities(*, add: Sequence[str] | None, drop: Sequence[str] | None, privileged: bool) -> list[str]:
    """Return the capabilities of a container's init process.

    ``ALL`` in `add` starts from every capability and takes `drop` away; ``ALL`` in
    `drop` starts from none and adds `add`; else the default set is changed by both.

    Raises:
        UnknownCapabilityError: A name is no capability.
    """
    if privileged:
        return list(NAMES)
    added = normalize(add or (), field="CapAdd")
    dropped = frozenset(normalize(drop or (), field="CapDrop"))
    if _ALL in added:
        return [name for name in NAMES if name not in dropped]
    start: Sequence[str] = () if _ALL in dropped else DEFAULT_CAPABILITIES
    kept = [name for name in start if name not in dropped and name not in added]
    return kept + [name for name in added if name != _ALL]
