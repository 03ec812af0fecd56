"""A root file system put together by fuse-overlayfs, where the kernel's overlay can't be had.

The mount is made here and nowhere attached; the program gets the opened device only. It
ends by itself when the mount's last user is gone, and if it is killed, whoever waits for it
gets an error. It belongs to nobody's session: it outlives this process as containers do.

Spec: fuse-overlayfs(1); libfuse, fuse_session_mount() "/dev/fd/N".
"""

from __future__ import annotations

import os
import signal

from moorage.kernel import fuse, memfd
from moorage.kernel.signals import IGNORED_AT_START
from moorage.runtime.errors import StartError, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from moorage.runtime.idmaps import Ranges

_NAME = "fuse-overlayfs"
_LAYER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_SAID = 1000
# Its library says this of an option that the program itself adds.
_NO_NEWS = "unknown argument ignored"


class FuseOverlay:
    """What fuse-overlayfs is to show.

    Attributes:
        lower: The layers' directories, top first.
        upper: Where changes go, with `work` beside it; "" for a read-only view.
        volatile: Never sync the upper directory.
        uids: How owners are shown, as (stored, shown, count); empty shows them as stored.
    """

    __slots__ = ("gids", "lower", "uids", "upper", "volatile", "work")

    def __init__(
        self,
        lower: Sequence[str],
        *,
        upper: str = "",
        work: str = "",
        volatile: bool = False,
        uids: Ranges | tuple[()] = (),
        gids: Ranges | tuple[()] = (),
    ) -> None:
        self.lower = tuple(lower)
        self.upper = upper
        self.work = work
        self.volatile = volatile
        self.uids = uids
        self.gids = gids


def open_fuse_overlay(program: str, overlay: FuseOverlay, *, label: str = "") -> tuple[int, int]:
    """Start fuse-overlayfs; return the fd of its detached mount and its process ID, once it answers.

    Args:
        program: Its path.
        label: SELinux context of everything in it, or "".

    Raises:
        StartError: It can't be started, or refuses; its own words.
    """
    opened: list[int] = []
    try:
        device_fd = os.open(fuse.DEVICE, os.O_RDWR | os.O_CLOEXEC)
        opened.append(device_fd)
        said_fd = memfd.memfd_create(_NAME)
        opened.append(said_fd)
        root_fd = fuse.mount_fuse(device_fd, name=_NAME, label=label)
        try:
            pid = _spawn(program, _options(overlay, opened), inherited=opened, said_fd=said_fd)
            # With the program's own copy gone as well, waiting for it would have an end.
            os.close(device_fd)
            opened.remove(device_fd)
            _wait_answering(root_fd, pid=pid, said_fd=said_fd)
        except BaseException:
            os.close(root_fd)
            raise
    except OSError as error:
        raise _refusal(describe(error)) from error
    finally:
        for fd in opened:
            os.close(fd)
    return root_fd, pid


def _options(overlay: FuseOverlay, opened: list[int]) -> Iterator[str]:
    """Yield the program's options; the layers that they name are opened meanwhile.

    A descriptor's name is short whatever the path is, and has nothing to be escaped.
    """

    def name(path: str) -> str:
        opened.append(os.open(path, _LAYER))
        return f"/proc/self/fd/{opened[-1]}"

    yield "lowerdir=" + ":".join([name(path) for path in overlay.lower])
    if overlay.upper:
        yield f"upperdir={name(overlay.upper)},workdir={name(overlay.work)}"
    # A container's layer is also read past the mount: what is written must be in it.
    yield "writeback=0"
    if overlay.volatile:
        yield "volatile"
    for option, ranges in (("uidmapping", overlay.uids), ("gidmapping", overlay.gids)):
        if ranges:
            yield f"{option}=" + ":".join(str(number) for each in ranges for number in each)


def _spawn(program: str, options: Iterator[str], *, inherited: list[int], said_fd: int) -> int:
    arguments = [program, "-f", "-o", ",".join(options), f"/dev/fd/{inherited[0]}"]
    null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    inherited.append(null_fd)
    streams = [(null_fd, 0), (null_fd, 1), (said_fd, 2)]
    return os.posix_spawn(
        program,
        arguments,
        {},
        file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for fd, number in [*streams, *((fd, fd) for fd in inherited)]],
        # Signals of a terminal are for whoever started us.
        setsid=True,
        setsigdef=[*IGNORED_AT_START, signal.SIGCHLD],
        setsigmask=[],
    )


def _wait_answering(root_fd: int, *, pid: int, said_fd: int) -> None:
    try:
        os.fstat(root_fd)
    except OSError as error:
        # It is ending, or about to; what it said is complete then.
        os.waitpid(pid, 0)
        raise _refusal(_said(said_fd) or f"{_NAME}: {describe(error)}") from error


def _said(said_fd: int) -> str:
    lines = os.pread(said_fd, _SAID, 0).decode(errors="replace").splitlines()
    return "; ".join(line for line in lines if not line.startswith(_NO_NEWS))


def _refusal(reason: str) -> StartError:
    return StartError(f"error mounting the root file system: {reason}")
