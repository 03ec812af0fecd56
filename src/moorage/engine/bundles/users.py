"""Who a container's process runs as: ``USER`` and ``--user`` against the image's own files.

Pure: the texts of ``/etc/passwd`` and ``/etc/group`` come in, numbers go out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from moorage.errors import InvalidParameterError

_MAX_ID: Final = 2**31 - 1
"""Docker's own bound; larger numbers are refused though the kernel knows 32 bits."""


class UserNotFoundError(InvalidParameterError):
    """The image has no such user or group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedUser:
    """The numbers of a process, and where its home is.

    Attributes:
        additional_gids: Supplementary groups, ascending; the primary one may repeat.
        home: Value for ``HOME``; ``/`` for a user without an entry.
    """

    uid: int
    gid: int
    additional_gids: tuple[int, ...]
    home: str


@dataclass(frozen=True, slots=True)
class _PasswdEntry:
    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class _GroupEntry:
    name: str
    gid: int
    members: frozenset[str]


def resolve_user(text: str, *, passwd: str, group: str, extra_groups: Sequence[str] = ()) -> ResolvedUser:
    """Resolve ``[user|uid][:group|gid]``.

    Args:
        text: As in ``Config.User``; empty means root.
        passwd: The image's ``/etc/passwd``, empty if it has none.
        group: The image's ``/etc/group``, empty if it has none.
        extra_groups: ``HostConfig.GroupAdd``: names or numbers.

    Raises:
        UserNotFoundError: A name has no entry, or a number is out of range.

    Spec: Engine API, ContainerConfig "User"; HostConfig "GroupAdd".
    """
    # What may follow a second colon counts for nothing.
    user_text, group_text, *_ = (*text.split(":"), "")
    groups = tuple(_groups(group))
    user = _find_user(user_text or "0", passwd)
    if group_text:
        # An explicit group replaces the memberships that /etc/group lists.
        gid, supplementary = _find_group(group_text, groups), set[int]()
    else:
        gid = user.gid
        supplementary = {entry.gid for entry in groups if user.name and user.name in entry.members}
    supplementary |= {_find_extra_group(name, groups) for name in extra_groups}
    return ResolvedUser(uid=user.uid, gid=gid, additional_gids=tuple(sorted(supplementary)), home=user.home or "/")


def _find_user(text: str, passwd: str) -> _PasswdEntry:
    entries = tuple(_users(passwd))
    for entry in entries:
        if entry.name == text:
            return entry
    number = _number(text)
    if number is None:
        raise UserNotFoundError(f"unable to find user {text}: no matching entries in passwd file")
    for entry in entries:
        if entry.uid == number:
            return entry
    return _PasswdEntry("", number, 0, "/")


def _find_group(text: str, groups: Sequence[_GroupEntry]) -> int:
    for entry in groups:
        if entry.name == text:
            return entry.gid
    number = _number(text)
    if number is None:
        raise UserNotFoundError(f"unable to find group {text}: no matching entries in group file")
    return number


def _find_extra_group(text: str, groups: Sequence[_GroupEntry]) -> int:
    try:
        return _find_group(text, groups)
    except UserNotFoundError as error:
        # Docker begins this sentence, and this one only, with a capital letter.
        raise UserNotFoundError(str(error).replace("unable", "Unable", 1)) from None


def _number(text: str) -> int | None:
    if not text.isascii() or not text.lstrip("-").isdigit():
        return None
    number = int(text)
    if not 0 <= number <= _MAX_ID:
        raise UserNotFoundError(f"uids and gids must be in range 0-{_MAX_ID}")
    return number


def _users(passwd: str) -> Iterator[_PasswdEntry]:
    for line in passwd.splitlines():
        fields = line.strip().split(":")
        if len(fields) >= 4 and fields[2].isdigit() and fields[3].isdigit():
            yield _PasswdEntry(fields[0], int(fields[2]), int(fields[3]), fields[5] if len(fields) > 5 else "")


def _groups(group: str) -> Iterator[_GroupEntry]:
    for line in group.splitlines():
        fields = line.strip().split(":")
        if len(fields) >= 3 and fields[2].isdigit():
            members = frozenset(fields[3].split(",")) if len(fields) > 3 else frozenset[str]()
            yield _GroupEntry(fields[0], int(fields[2]), members)
