"""Who the program is, and what it may do: IDs, capabilities, no_new_privs.

What a host can't grant is left out with a warning: whether a capability exists, and
whether it is in the bounding set that we inherited, is the host's business.

Spec: runtime-spec, config.md "User", "Linux Process" capabilities.
"""

from __future__ import annotations

import os

from moorage.kernel import capabilities, prctl
from moorage.runtime.errors import StartError, describe
from moorage.runtime.specification import section

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from moorage.runtime.specification import Spec

_SETPCAP = 1 << capabilities.NUMBERS["CAP_SETPCAP"]


class CapabilitySets:
    """The five sets of a process, cut down to what can be granted.

    Attributes:
        warnings: What was asked for and left out.
    """

    __slots__ = ("ambient", "bounding", "effective", "inheritable", "permitted", "warnings")

    def __init__(self, wanted: Mapping[str, Sequence[str]], *, grantable: int) -> None:
        unknown: set[str] = set()
        asked = 0
        sets = []
        for name in ("bounding", "permitted", "effective", "inheritable", "ambient"):
            mask, unknown_here = capabilities.mask_of(wanted.get(name) or ())
            unknown.update(unknown_here)
            asked |= mask
            sets.append(mask & grantable)
        self.bounding, self.permitted, self.effective, self.inheritable, self.ambient = sets
        self.effective &= self.permitted
        self.ambient &= self.permitted & self.inheritable
        missing = [*sorted(unknown), *capabilities.names_in(asked & ~grantable)]
        self.warnings = [f"ignoring unknown or unavailable capabilities: {', '.join(missing)}"] if missing else []


def capability_sets(process: Spec, *, in_user_namespace: bool) -> CapabilitySets:
    """Return the sets of a process; it has none if it asks for none.

    Args:
        in_user_namespace: The caller entered a user namespace, which gave it all
            capabilities there: what is known of those from before no longer holds.
    """
    known = capabilities.grantable() if in_user_namespace else grantable()
    return CapabilitySets(section(process, "capabilities"), grantable=known)


def grantable() -> int:
    """Return the capabilities this process could give to a program; asked once, as they never grow."""
    if not _known_grantable:
        _known_grantable.append(_read_grantable())
    return _known_grantable[0]


_known_grantable: list[int] = []


def _read_grantable() -> int:
    # From one file: asking for each of the bounding set's bits costs ten times as much.
    with open("/proc/self/status", "rb") as status:
        fields = dict(line.split(b":", 1) for line in status.read().splitlines())
    return int(fields[b"CapPrm"], 16) & int(fields[b"CapBnd"], 16)


def become(process: Spec, sets: CapabilitySets, *, load_filter: Callable[[], None]) -> None:
    """Take on the process's IDs and capabilities.

    Args:
        load_filter: Loads the system call filter, where that takes a capability which
            the program itself does not get. Only the last calls of this function are
            made after it.

    Raises:
        StartError: The kernel refuses an ID.
    """
    _, permitted, _ = capabilities.capget()
    if permitted & _SETPCAP:
        capabilities.drop_bounding(~sets.bounding & _ALL_CAPABILITIES)
    set_user(section(process, "user"))
    _, permitted, inheritable = capabilities.capget()
    # Giving up user 0 emptied the effective set, and the filter needs one of it.
    capabilities.capset(permitted, permitted, inheritable)
    load_filter()
    capabilities.capset(sets.effective, sets.permitted, sets.inheritable)
    capabilities.clear_ambient()
    capabilities.raise_ambient(sets.ambient)


# Asked once: it costs up to 64 system calls.
_ALL_CAPABILITIES = (1 << (capabilities.last_capability() + 1)) - 1


def set_user(user: Mapping[str, Any]) -> None:
    """Set groups, group and user for good, but keep the permitted capabilities to choose from.

    Raises:
        StartError: An ID is not mapped, or the caller may not take it.
    """
    uid, gid = user.get("uid") or 0, user.get("gid") or 0
    groups = user.get("additionalGids") or []
    try:
        prctl.set_keep_capabilities(keep=True)
        _set_groups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        prctl.set_keep_capabilities(keep=False)
    except OSError as error:
        raise StartError(f"setup user: cannot become user {uid}, group {gid}: {describe(error)}") from error


def _set_groups(groups: Sequence[int]) -> None:
    try:
        os.setgroups(groups)
    except PermissionError:
        # An unprivileged user namespace forbids it; then there is nothing to drop either,
        # and the caller's groups can't be used inside.
        if groups or not _setgroups_denied():
            raise


def _setgroups_denied() -> bool:
    try:
        with open("/proc/self/setgroups") as file:
            return file.read().strip() == "deny"
    except OSError:
        return False


def own_stdio(uid: int, *, stdio: Iterable[int] = (0, 1, 2)) -> None:
    """Give the standard streams to the container's user, who may want to open /dev/stdout again."""
    for fd in stdio:
        try:
            status = os.fstat(fd)
            if status.st_uid != uid and status.st_rdev != _NULL:
                os.fchown(fd, uid, -1)
        except OSError:
            # Not every stream can change its owner: a socket, a file on a read-only
            # mount, one of an unmapped user. Docker accepts that as well.
            continue


_NULL = os.makedev(1, 3)
