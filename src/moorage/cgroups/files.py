"""Reading and writing cgroup files: one open, one call, one close.

Plain strings and os calls, because this runs a few dozen times per container start.
"""

# A Path costs as much as the system call it stands for.
# ruff: noqa: PTH106, PTH116, PTH208

from __future__ import annotations

import contextlib
import errno
import os
import time

from moorage.cgroups.errors import WriteRefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_CHUNK = 1 << 16


def write(directory: str, file: str, value: str) -> None:
    """Write a value to a cgroup file.

    Raises:
        OSError: As open(2) and write(2); ENOENT: the kernel has no such file.
    """
    fd = os.open(f"{directory}/{file}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def write_or_refuse(directory: str, file: str, value: str) -> None:
    """Write a value; say which value and file when the kernel refuses it.

    Raises:
        WriteRefusedError: The kernel refused the value.
        FileNotFoundError: There is no such file or cgroup.
        ProcessLookupError: The value names a process that has ended.
    """
    try:
        write(directory, file, value)
    except (FileNotFoundError, ProcessLookupError):
        raise
    except OSError as error:
        raise WriteRefusedError(f"{directory}/{file}", value, error.strerror) from error


def read(directory: str, file: str) -> str:
    """Return the text of a cgroup file.

    Raises:
        OSError: As open(2) and read(2); ENODEV: the cgroup went away meanwhile.
    """
    fd = os.open(f"{directory}/{file}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(fd, _CHUNK)
        if len(text) == _CHUNK:
            while more := os.read(fd, _CHUNK):
                text += more
    finally:
        os.close(fd)
    return text.decode()


def read_if_there(directory: str, file: str) -> str:
    """Return the text of a cgroup file, "" when there is no such file or cgroup."""
    try:
        return read(directory, file)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP}:
            return ""
        raise


def exists(path: str) -> bool:
    """Tell whether a file or directory is there."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    return True


def children(directory: str) -> list[str]:
    """Return the directories of the cgroups right below one; none if it is gone."""
    try:
        with os.scandir(directory) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def names(directory: str) -> list[str]:
    """Return the names of everything in a cgroup directory; none if it is gone."""
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def processes(directory: str, *, recursive: bool = True) -> list[int]:
    """Return the processes in a cgroup, and in those below it; none if it is gone."""
    found = [int(line) for line in read_if_there(directory, "cgroup.procs").split()]
    if recursive:
        for child in children(directory):
            found += processes(child)
    return found


def remove_tree(directory: str) -> bool:
    """Remove a cgroup and those below it, once; tell whether it is gone.

    A cgroup whose last process is a zombie or still exiting is busy: not gone.
    """
    if _remove(directory):
        return True
    below = children(directory)
    gone = [remove_tree(child) for child in below]
    return bool(below) and all(gone) and _remove(directory)


def _remove(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in {errno.EBUSY, errno.ENOTEMPTY}:
            raise
        return False
    return True


def remove_all(directories: Sequence[str], *, patience: float) -> bool:
    """Remove cgroups, trying again for `patience` seconds; tell whether all are gone."""
    deadline = time.monotonic() + patience
    pause = 0.0005
    left = list(directories)
    while True:
        left = [directory for directory in left if not remove_tree(directory)]
        if not left or time.monotonic() + pause > deadline:
            return not left
        time.sleep(pause)
        pause *= 2


def signal_all(pids: Sequence[int], signum: int) -> None:
    """Send a signal to processes; those that have ended are passed over."""
    for pid in pids:
        # 0 is a process of another PID namespace, and would mean the caller's own group.
        if pid > 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
