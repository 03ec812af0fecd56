"""The mounts every container has, before the user's own.

Pure.

Spec: runtime-spec, config-linux.md "Default Filesystems"; what Docker mounts by default.
"""

from collections.abc import Sequence
from typing import Any

Mount = dict[str, Any]


def system_mounts(*, privileged: bool, writable_cgroups: bool, shm_size: int | None, host_ipc: bool) -> list[Mount]:
    """Return /proc, /dev, /sys and what belongs below them.

    Args:
        privileged: /sys is writable.
        writable_cgroups: The control groups are.
        shm_size: Bytes of /dev/shm; None leaves it out (``--ipc none``).
        host_ipc: /dev/shm is the host's; message queues are, by the namespace.
    """
    plain = ["nosuid", "noexec", "nodev"]
    mounts = [
        _mount("/proc", "proc", "proc", plain),
        _mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount(
            "/dev/pts",
            "devpts",
            "devpts",
            ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        _mount("/sys", "sysfs", "sysfs", [*plain, "rw" if privileged else "ro"]),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", ["rw" if writable_cgroups else "ro", *plain]),
    ]
    # It shows the queues of the namespace it is mounted in, so the host's too: which may have none mounted.
    mounts.append(_mount("/dev/mqueue", "mqueue", "mqueue", plain))
    if host_ipc:
        mounts.append(bind("/dev/shm", "/dev/shm"))  # noqa: S108
    elif shm_size is not None:
        mounts.append(_mount("/dev/shm", "tmpfs", "shm", [*plain, "mode=1777", f"size={shm_size}"]))  # noqa: S108
    return mounts


def bind(source: str, destination: str, *, readonly: bool = False) -> Mount:
    """Return a private bind mount of one host path."""
    return _mount(destination, "bind", source, ["rbind", "rprivate", *(["ro"] if readonly else [])])


def replace_by_destination(defaults: Sequence[Mount], chosen: Sequence[Mount]) -> list[Mount]:
    """Return the default mounts that the user's leave, then the user's.

    A user's mount on /dev replaces everything that is mounted below it by default.
    """
    destinations = {mount["destination"] for mount in chosen}
    kept = [
        mount
        for mount in defaults
        if mount["destination"] not in destinations
        and not ("/dev" in destinations and mount["destination"].startswith("/dev/"))
    ]
    return kept + list(chosen)


def _mount(destination: str, kind: str, source: str, options: list[str]) -> Mount:
    return {"destination": destination, "type": kind, "source": source, "options": options}
