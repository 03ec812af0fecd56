"""The host's users, and the IDs that are set aside for each.

Pure: the texts of /etc/passwd, /etc/group, /etc/subuid and /etc/subgid come in.

Spec: subuid(5); dockerd(8), "--userns-remap".
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from moorage.engine.userns.mapping import IdMapping, sequence
from moorage.errors import InvalidParameterError

DEFAULT_USER: Final = "dockremap"
_DEFAULT_WORD: Final = "default"
_ROOT: Final = "root"
_FIRST: Final = 100_000
_LENGTH: Final = 65_536


class RemapError(InvalidParameterError):
    """`userns-remap` names what is not there; Docker's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of the host, or a group."""

    name: str
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The texts of the four files."""

    passwd: str
    group: str
    subuid: str
    subgid: str

    def user(self, reference: str) -> Account | None:
        """Return a user by name or number."""
        return _find(self.passwd, reference)

    def has_group(self, reference: str) -> bool:
        """Tell whether there is a group of this name or number."""
        return _find(self.group, reference) is not None

    def set_aside(self, name: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return the users and the groups set aside for a user, as (first, count); it need not exist."""
        account = self.user(name)
        owners = {name} if account is None else {account.name, str(account.id)}
        return _ranges(self.subuid, owners), _ranges(self.subgid, owners)


def needs_default_user(value: str, accounts: Accounts) -> bool:
    """Whether `userns-remap` asks for the user that is made for it, and there is none yet."""
    return value.split(":", maxsplit=1)[0] == _DEFAULT_WORD and accounts.user(DEFAULT_USER) is None


def remapping(value: str, accounts: Accounts) -> IdMapping | None:
    """Return the mapping that `userns-remap` asks for; None if it is to root itself, which is no mapping.

    Raises:
        RemapError: A user, a group or its range is not there.
    """
    user_text, _, group_text = value.partition(":")
    if ":" in group_text:
        raise RemapError(f'Invalid user/group specification in --userns-remap: "{value}"')
    account = _remapped_user(user_text, accounts)
    _check_group(group_text or (DEFAULT_USER if user_text == _DEFAULT_WORD else user_text), accounts)
    if account.name == _ROOT:
        return None
    uids, gids = accounts.set_aside(account.name)
    if not uids or not gids:
        raise RemapError(f'Can\'t create ID mappings: no subuid ranges found for user "{account.name}"')
    return IdMapping(uids=sequence(uids), gids=sequence(gids))


def next_range(subordinate: str) -> tuple[int, int]:
    """Return the first and last ID of a new range, above those that overlap what Docker would begin with."""
    first = _FIRST
    for low, count in sorted((low, count) for _, low, count in _entries(subordinate)):
        if low < first + _LENGTH and first < low + count:
            first = low + count
    return first, first + _LENGTH - 1


def _remapped_user(text: str, accounts: Accounts) -> Account:
    name = DEFAULT_USER if text == _DEFAULT_WORD else text
    account = accounts.user(name)
    if account is not None:
        return account
    if text.isdigit():
        raise RemapError(f"Uid {text} has no entry in /etc/passwd: no matching entries in passwd file")
    raise RemapError(f'Error during uid lookup for "{name}": no matching entries in passwd file')


def _check_group(text: str, accounts: Accounts) -> None:
    if accounts.has_group(text):
        return
    if text.isdigit():
        raise RemapError(f"Gid {text} has no entry in /etc/group: no matching entries in group file")
    raise RemapError(f'Error during gid lookup for "{text}": no matching entries in group file')


def _find(text: str, reference: str) -> Account | None:
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= 3 and fields[2].isdigit() and reference in {fields[0], fields[2]}:
            return Account(name=fields[0], id=int(fields[2]))
    return None


def _ranges(text: str, owners: AbstractSet[str]) -> list[tuple[int, int]]:
    return [(first, count) for owner, first, count in _entries(text) if owner in owners and count]


def _entries(text: str) -> Iterator[tuple[str, int, int]]:
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[1].isdigit() and fields[2].isdigit():
            yield fields[0], int(fields[1]), int(fields[2])
