"""Reaping: the shim's own children, and the orphans it inherits as their subreaper."""

from __future__ import annotations

import os
import signal

from moorage.shim.loop import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.shim.loop import Loop

    Reaped = Callable[[int], None]


class Children:
    """Waits for every child; tells whoever asked for one its exit code (128 + n for signal n)."""

    __slots__ = ("_expected", "_wakeup_fd")

    def __init__(self, loop: Loop) -> None:
        self._expected: dict[int, Reaped] = {}
        # A handler, not SIG_IGN or a mask: exec resets handlers, and containers start clean.
        reading_fd, writing_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wakeup_fd = reading_fd
        signal.signal(signal.SIGCHLD, _do_nothing)
        signal.set_wakeup_fd(writing_fd, warn_on_full_buffer=False)
        loop.watch(reading_fd, READ, self._reap)

    def expect(self, pid: int, reaped: Reaped) -> None:
        """Call `reaped(exit_code)` when a child has ended."""
        self._expected[pid] = reaped

    def _reap(self, _events: int) -> None:
        try:
            os.read(self._wakeup_fd, 4096)
        except BlockingIOError:
            return
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if reaped := self._expected.pop(pid, None):
                code = os.waitstatus_to_exitcode(status)
                reaped(code if code >= 0 else 128 - code)


def _do_nothing(_signum: int, _frame: object) -> None:
    """Make the kernel interrupt, and Python write to the wake-up descriptor."""
