"""Learning that processes have ended, and how.

They are the keeper's children, so the keeper reaps them; but their pidfds tell anybody.
"""

from __future__ import annotations

import os

from moorage.shim.loop import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.shim.keeper import Link
    from moorage.shim.loop import Loop


class Children:
    """Tells whoever asked for a process its exit code (128 + n for signal n)."""

    __slots__ = ("_link", "_loop")

    def __init__(self, loop: Loop, link: Link) -> None:
        self._loop = loop
        self._link = link

    def expect(self, pid: int, pidfd: int, reaped: Callable[[int], None]) -> None:
        """Call `reaped(exit_code)` when a process has ended; the pidfd stays the caller's."""
        self._loop.watch(pidfd, READ, lambda _events: self._reap(pid, pidfd, reaped))

    def _reap(self, pid: int, pidfd: int, reaped: Callable[[int], None]) -> None:
        self._loop.forget(pidfd)
        status = self._link.reap(pid)
        # -1: someone else has reaped it; whatever it was, it was not a success.
        code = os.waitstatus_to_exitcode(status) if status >= 0 else 255
        reaped(code if code >= 0 else 128 - code)
