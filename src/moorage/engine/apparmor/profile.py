"""The text of the AppArmor profile that containers have by default.

Pure. AppArmor is the second lock behind read-only and masked paths: what those say of /proc
and /sys holds here even for a program that could mount, and whatever the path is called.

Spec: apparmor.d(5).
"""

from collections.abc import Callable, Iterator
from typing import Final

DEFAULT_PROFILE: Final = "docker-default"
UNCONFINED: Final = "unconfined"

_ABI: Final = "abi/3.0"
_TUNABLES: Final = "tunables/global"
_BASE: Final = "abstractions/base"

_WRITES: Final = "w"
_CHANGES: Final = "wklx"
_EVERYTHING: Final = "rwklx"

# Nobody inside has a reason to touch these, even to read them.
_SHUT: Final = (
    "@{PROC}/sysrq-trigger",
    "@{PROC}/kcore",
    "/sys/firmware/**",
    "/sys/devices/virtual/powercap/**",
    "/sys/kernel/security/**",
)


def default_profile(*, daemon: str, has: Callable[[str], bool], name: str = DEFAULT_PROFILE) -> str:
    """Return the profile as apparmor_parser reads it.

    Args:
        daemon: The label of the daemon and its shims, which send signals to containers.
        has: Whether the host's policy directory has a file that profiles may include.
    """
    lines = [
        *_head(has),
        f'profile "{name}" flags=(attach_disconnected,mediate_deleted) {{',
        *(f"  {rule}" for rule in _rules(name, daemon or UNCONFINED, has)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def is_listed(profiles: str, *, name: str = DEFAULT_PROFILE) -> bool:
    """Tell whether the kernel's list of profiles has this one, in whatever mode."""
    return any(line.rpartition(" (")[0] == name for line in profiles.splitlines())


def confined_by(label: str) -> str:
    """Return the profile's name of a process's label, such as ``name (enforce)``."""
    name, separator, _ = label.strip().rstrip("\0").rpartition(" (")
    return name if separator else label.strip().rstrip("\0")


def _head(has: Callable[[str], bool]) -> Iterator[str]:
    if has(_ABI):
        # Newer rules of the kernel would leave sockets of the host's own kind out of `network`.
        yield f"abi <{_ABI}>,"
    yield f"#include <{_TUNABLES}>" if has(_TUNABLES) else "@{PROC}=/proc/"


def _rules(name: str, daemon: str, has: Callable[[str], bool]) -> Iterator[str]:
    if has(_BASE):
        yield f"#include <{_BASE}>"
    yield from ("network,", "deny network alg,", "capability,", "file,", "umount,", "deny mount,")
    for peer in dict.fromkeys((UNCONFINED, "runc", "crun", daemon)):
        yield f'signal (receive) peer="{peer}",'
    yield f'signal (send,receive) peer="{name}",'
    yield f'ptrace (trace,tracedby,read,readby) peer="{name}",'
    yield f"deny @{{PROC}}/* {_WRITES},"
    # Of the directories there, processes' own and /proc/sys may be written, the rest is the host's.
    yield f"deny @{{PROC}}/{{[^1-9s]*,s,sy,s[^y]*,sy[^s]*,sys?*}}/** {_WRITES},"
    for pattern in _all_but("kernel"):
        yield f"deny @{{PROC}}/sys/{pattern} {_WRITES},"
    # Shared memory is the container's own: its limits are in its IPC namespace.
    for pattern in _all_but("shm"):
        yield f"deny @{{PROC}}/sys/kernel/{pattern} {_WRITES},"
    for pattern in _all_but("fs/cgroup"):
        yield f"deny /sys/{pattern} {_CHANGES},"
    for path in _SHUT:
        yield f"deny {path} {_EVERYTHING},"


def _all_but(prefix: str) -> Iterator[str]:
    """Yield patterns of all paths, at any depth, that do not begin with `prefix`."""
    for length, character in enumerate(prefix):
        head = prefix[:length]
        if character == "/":
            yield f"{head}[^/]**"
        else:
            yield f"{head}[^{character}/]**"
            if head and not head.endswith("/"):
                yield head
                yield f"{head}/**"
