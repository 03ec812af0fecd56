"""User and group IDs of a new user namespace.

Spec: runtime-spec, config-linux.md "User namespace mappings"; user_namespaces(7).
"""

from __future__ import annotations

import os

from moorage.kernel import idmap, pidfd
from moorage.runtime.errors import StartError
from moorage.runtime.privileges import own_stdio
from moorage.runtime.specification import section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Final

    from moorage.runtime.specification import Spec

    Ranges = list[tuple[int, int, int]]

_PROGRAMS: Final = {"uid": "newuidmap", "gid": "newgidmap"}


def id_ranges(mappings: Sequence[Mapping[str, Any]]) -> Ranges:
    """Return a specification's mappings as (inside, outside, count)."""
    return [(entry["containerID"], entry["hostID"], entry["size"]) for entry in mappings]


def host_id(ranges: Ranges, inside: int) -> int:
    """Return the ID that one of the namespace has outside.

    Raises:
        StartError: No range holds it.
    """
    for first, outside, count in ranges:
        if first <= inside < first + count:
            return outside + inside - first
    raise StartError(f"ID {inside} is not mapped in the container's user namespace")


def give_stdio(spec: Spec, process: Spec, stdio: tuple[int, int, int]) -> None:
    """Give a process of a user namespace its streams, which are the host's, so that it can open them again."""
    ranges = id_ranges(section(spec, "linux").get("uidMappings") or ())
    if ranges and not process.get("terminal") and os.geteuid() == 0:
        own_stdio(host_id(ranges, section(process, "user").get("uid") or 0), stdio=stdio)


def write_maps(pid: int, uids: Ranges, gids: Ranges) -> None:
    """Map the IDs of a new user namespace through its first process.

    Without privilege the kernel only takes a map of the caller's own ID; anything else
    needs the set-user-ID programs newuidmap and newgidmap, which consult /etc/subuid.

    Raises:
        StartError: A map is refused.
    """
    try:
        if os.geteuid() == 0:
            idmap.write_id_maps(pid, uids, gids)
            return
        own_group = gids == [(gids[0][0], os.getegid(), 1)]
        if own_group:
            idmap.deny_setgroups(pid)
        _write_unprivileged(pid, "uid", uids, own=uids == [(uids[0][0], os.geteuid(), 1)])
        _write_unprivileged(pid, "gid", gids, own=own_group)
    except OSError as error:
        raise StartError(f"cannot map the IDs of the user namespace: {(error.strerror or '').lower()}") from error


def _write_unprivileged(pid: int, kind: str, ranges: Ranges, *, own: bool) -> None:
    if own:
        idmap.write_id_maps(pid, *((ranges, ()) if kind == "uid" else ((), ranges)))
        return
    program = _PROGRAMS[kind]
    numbers = [str(number) for entry in ranges for number in entry]
    try:
        helper = os.posix_spawnp(program, [program, str(pid), *numbers], os.environ)
    except FileNotFoundError as error:
        raise StartError(f"{program} is needed to map more than one ID; it comes with the package uidmap") from error
    helper_fd = pidfd.pidfd_open(helper)
    code = pidfd.wait(helper_fd)
    os.close(helper_fd)
    if code:
        raise StartError(f"{program} failed with exit status {code}: is the range in /etc/sub{kind}?")
