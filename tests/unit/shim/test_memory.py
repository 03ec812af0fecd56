"""Noticing that processes were killed for want of memory."""

import os
from pathlib import Path

from moorage.shim.loop import Loop
from moorage.shim.memory import MemoryWatch


def watch(path: Path, told: list[str], *, count: int) -> MemoryWatch:
    event_fd, count_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK), os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return MemoryWatch(Loop(), event_fd, count_fd, killed=lambda: told.append("killed"), count=count)


def test_what_another_process_has_told_of_is_not_told_again(tmp_path: Path) -> None:
    counter = tmp_path / "memory.events"
    counter.write_text("oom 1\noom_kill 1\n")
    told: list[str] = []
    watched = watch(counter, told, count=0)
    watched.check()
    known = watched.count
    watched.close()
    assert told == ["killed"]

    later = watch(counter, told, count=known)
    later.check()
    assert told == ["killed"]
    assert later.has_killed
    counter.write_text("oom 2\noom_kill 2\n")
    later.check()
    assert told == ["killed", "killed"]
    later.close()
