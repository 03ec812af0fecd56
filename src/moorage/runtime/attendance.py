"""Staying with a process in the foreground: signals go in, a terminal's bytes both ways.

A process without a terminal has our own standard streams, and there is nothing to copy.
"""

from __future__ import annotations

import errno
import os
import select
import signal

from moorage.kernel import pidfd, terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_CHUNK: Final = 1 << 16
# Those that mean us or that the kernel sends for our own doings are not passed on.
_OURS: Final = frozenset(
    {signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG, signal.SIGKILL, signal.SIGSTOP, signal.SIGWINCH, signal.SIGTTIN}
)


def attend(process_fd: int, *, console_fd: int) -> int:
    """Stay until a child has ended; return its exit code.

    Args:
        process_fd: The child's pidfd.
        console_fd: The master of its terminal, or -1.
    """
    attendance = Attendance(process_fd, console_fd)
    for number in signal.valid_signals() - _OURS:
        # Those of the C library itself can't be had.
        if number not in {32, 33}:
            signal.signal(number, attendance.forward)
    if console_fd < 0:
        return attendance.wait()
    signal.signal(signal.SIGWINCH, attendance.resize)
    attendance.resize()
    former = terminal.make_raw(0) if os.isatty(0) else None
    try:
        attendance.copy()
    finally:
        if former is not None:
            terminal.restore(0, former)
    return attendance.wait()


class Attendance:
    """One process being stayed with."""

    __slots__ = ("_console_fd", "_process_fd")

    def __init__(self, process_fd: int, console_fd: int) -> None:
        self._process_fd = process_fd
        self._console_fd = console_fd

    def forward(self, number: int, _frame: object) -> None:
        """Pass a signal on."""
        try:
            pidfd.pidfd_send_signal(self._process_fd, number)
        except ProcessLookupError:
            # It has just ended, and we are about to notice.
            return

    def resize(self, *_: object) -> None:
        """Give the terminal the size of our own."""
        if os.isatty(0):
            rows, columns = terminal.window_size(0)
            terminal.set_window_size(self._console_fd, rows=rows, columns=columns)

    def wait(self) -> int:
        """Return the exit code once the process has ended."""
        # By poll and not by waitid alone: handlers of signals run in between.
        poll = select.poll()
        poll.register(self._process_fd, select.POLLIN)
        poll.poll()
        return pidfd.wait(self._process_fd)

    def copy(self) -> None:
        """Copy between our streams and the terminal until nobody has it open any more."""
        poll = select.poll()
        poll.register(self._console_fd, select.POLLIN)
        poll.register(0, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._console_fd in ready and not self._show():
                return
            if 0 in ready:
                typed = os.read(0, _CHUNK)
                if not typed:
                    poll.unregister(0)
                _write_all(self._console_fd, typed)

    def _show(self) -> bool:
        try:
            text = os.read(self._console_fd, _CHUNK)
        except OSError as error:
            # What a master says when the last other end is closed.
            if error.errno == errno.EIO:
                return False
            raise
        _write_all(1, text)
        return bool(text)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
