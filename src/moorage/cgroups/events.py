"""Being told when a cgroup runs out of memory.

v1: an eventfd tied to memory.oom_control. v2: inotify on memory.events. Both only say that
something happened; how many processes were killed is in a counter, which also knows of
kills that came before anybody listened.
"""

from __future__ import annotations

import contextlib
import os

from moorage.kernel import eventfd, inotify


def watch_v1(directory: str) -> int:
    """Return an eventfd that counts each lack of memory in a v1 cgroup, and its removal."""
    event_fd = eventfd.eventfd()
    try:
        control_fd = os.open(f"{directory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            # The kernel takes a reference to both; the second descriptor has done its part.
            register_fd = os.open(f"{directory}/cgroup.event_control", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(register_fd, b"%d %d" % (event_fd, control_fd))
            finally:
                os.close(register_fd)
        finally:
            os.close(control_fd)
    except BaseException:
        os.close(event_fd)
        raise
    return event_fd


def watch_v2(directory: str) -> int:
    """Return an inotify fd that is readable after each change of a v2 cgroup's memory events."""
    watch_fd = inotify.inotify_init1()
    try:
        inotify.inotify_add_watch(watch_fd, f"{directory}/memory.events", inotify.Watch.MODIFY)
    except BaseException:
        os.close(watch_fd)
        raise
    return watch_fd


def drain(fd: int) -> None:
    """Empty an fd of `watch_v1` or `watch_v2`, so that only the next event wakes again."""
    with contextlib.suppress(BlockingIOError):
        os.read(fd, 4096)


def oom_kills(text: str) -> int:
    """Return the processes killed, from the text of memory.oom_control (v1) or memory.events (v2, and those below)."""
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == "oom_kill":
            return int(value)
    return 0
