"""Processes forked ahead of need."""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback

from moorage.api.shim import ANCILLARY_SPACE, MAX_PACKET, MSG_CMSG_CLOEXEC, Do, frames, unframe
from moorage.shim import main as shim
from moorage.worker import main as worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from moorage.api.shim import Message, ShimRequest


class Pool:
    """A few warm processes; each serves one request, as a shim or as a worker.

    Args:
        size: How many to keep.
        run_root: Where the engine's run-time files are.
        allow_faults: Whether a request may name a point where its shim dies.
        forget: Called in each new process: closes what only the launcher may hold.
    """

    __slots__ = ("_allow_faults", "_forget", "_run_root", "_size", "_warm")

    def __init__(self, size: int, *, run_root: str, allow_faults: bool, forget: Callable[[], None]) -> None:
        self._size = size
        self._run_root = run_root
        self._allow_faults = allow_faults
        self._forget = forget
        self._warm: list[socket.socket] = []

    @property
    def is_full(self) -> bool:
        """Tell whether as many processes wait as should."""
        return len(self._warm) >= self._size

    def add(self) -> None:
        """Fork one more process that waits for its request.

        Raises:
            OSError: There can be no more.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        with theirs:
            self._fork(lambda: self._wait(theirs), also_close=ours)
        self._warm.append(ours)

    def serve(self, message: Message, fds: Sequence[int]) -> None:
        """Hand a request to a warm process, or to a new one if there is none.

        Raises:
            OSError: There is none, and there can be no new one.
        """
        while self._warm:
            with self._warm.pop() as ours:
                try:
                    for payload, ancillary in frames(message, fds):
                        ours.sendmsg([payload], ancillary)
                except BrokenPipeError:
                    continue  # killed while it waited
                return
        self._fork(lambda: self._run(message, list(fds)))

    def _fork(self, body: Callable[[], None], *, also_close: socket.socket | None = None) -> None:
        if os.fork():
            return
        status = 1
        try:
            os.setsid()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            # A warm process that held the others' sockets would keep them waiting for ever.
            self._forget()
            for ours in (*self._warm, also_close):
                if ours:
                    ours.close()
            body()
            status = 0
        except BaseException:  # noqa: BLE001 - the launcher's stack is below, and must never be returned to
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(status)

    def _wait(self, sock: socket.socket) -> None:
        fds: list[int] = []
        while True:
            payload, ancillary, flags, _ = sock.recvmsg(MAX_PACKET, ANCILLARY_SPACE, MSG_CMSG_CLOEXEC)
            if not payload:
                return
            message, some = unframe(payload, ancillary, flags)
            fds += some
            if not message.get("more"):
                break
        sock.close()
        self._run(message, fds)

    def _run(self, message: Message, fds: list[int]) -> None:
        if message["do"] == Do.SHIM:
            request: ShimRequest = message  # type: ignore[assignment]
            shim.run(request, fds, run_root=self._run_root, allow_faults=self._allow_faults)
        else:
            worker.run(message, fds[0], fds[1:])
