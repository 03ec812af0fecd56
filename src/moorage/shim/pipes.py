"""The descriptors between a shim and one process."""

from __future__ import annotations

import contextlib
import fcntl
import os

_PIPE_SIZE = 256 * 1024
"""Four times the default: fewer switches between a busy container and its shim."""


class Stdio:
    """Pipes for a process's standard streams, or nothing where it will have a terminal.

    Attributes:
        child: What the process gets as its descriptors 0, 1 and 2.
        stdin_fd: The shim's end of the input, or -1.
        outputs: The shim's ends, by "stdout" and "stderr".
    """

    __slots__ = ("child", "outputs", "stdin_fd")

    def __init__(self, *, terminal: bool, takes_input: bool, discard: bool = False) -> None:
        """Open what is needed.

        Args:
            discard: Nobody will ever see the output.
        """
        self.stdin_fd = -1
        self.outputs: dict[str, int] = {}
        ends = [-1, -1, -1]
        if takes_input and not terminal:
            ends[0], self.stdin_fd = _pipe()
        if not terminal and not discard:
            self.outputs["stdout"], ends[1] = _pipe()
            self.outputs["stderr"], ends[2] = _pipe()
        stdin, stdout, stderr = (fd if fd >= 0 else os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC) for fd in ends)
        self.child = (stdin, stdout, stderr)

    def close_child_ends(self) -> None:
        """Close the process's ends, once it has them."""
        for fd in self.child:
            if fd >= 0:
                os.close(fd)
        self.child = (-1, -1, -1)

    def take_console(self, console_fd: int, *, takes_input: bool) -> None:
        """Make a terminal's master the ends; it stays the caller's, for the window size."""
        self.outputs["stdout"] = _duplicate(console_fd)
        if takes_input:
            self.stdin_fd = _duplicate(console_fd)

    def close(self) -> None:
        """Close everything, after a failure."""
        self.close_child_ends()
        if self.stdin_fd >= 0:
            os.close(self.stdin_fd)
        for fd in self.outputs.values():
            os.close(fd)


def _pipe() -> tuple[int, int]:
    reading_fd, writing_fd = os.pipe2(os.O_CLOEXEC)
    with contextlib.suppress(OSError):
        # Refused beyond the user's share; the default then does.
        fcntl.fcntl(reading_fd, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    return reading_fd, writing_fd


def _duplicate(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
