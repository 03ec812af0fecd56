"""Processes forked ahead of need."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed has only signal
import _socket
import json
import os
import sys
import traceback

from moorage.api.shim import Do, frame
from moorage.shim import main as shim
from moorage.shim.keeper import Keeper, receive, send, socket_pair
from moorage.worker import main as worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from moorage.shim.keeper import Link


_SHIM = frame({"do": Do.SHIM})[0][:-1]


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
        self._warm: list[_socket.socket] = []

    @property
    def is_full(self) -> bool:
        """Tell whether as many processes wait as should."""
        return len(self._warm) >= self._size

    def add(self, *, foreign_fds: Sequence[int] = ()) -> None:
        """Fork one more process that waits for its request.

        Args:
            foreign_fds: What the launcher holds of a request at this moment. The new process lets
                go of its copies: they would keep ports reserved and streams open that everybody
                who was handed them has closed.

        Raises:
            OSError: There can be no more.
        """
        ours, theirs = socket_pair()
        self._fork(lambda: self._wait(theirs), also_close=(ours.fileno(), *foreign_fds))
        theirs.close()
        self._warm.append(ours)

    def serve(self, request: bytes, fds: Sequence[int]) -> None:
        """Hand a request to a warm process, or to a new one if there is none.

        Raises:
            OSError: There is none, and there can be no new one.
        """
        while True:
            if not self._warm:
                self.add(foreign_fds=fds)
            ours = self._warm.pop()
            try:
                send(ours, request, fds)
            except BrokenPipeError:
                continue  # killed while it waited
            finally:
                ours.close()
            return

    def _fork(self, body: Callable[[], None], *, also_close: Sequence[int]) -> None:
        if os.fork():
            return
        status = 1
        try:
            os.setsid()
            _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
            # A warm process that held the others' sockets would keep them waiting for ever.
            self._forget()
            for ours in self._warm:
                ours.close()
            for fd in also_close:
                os.close(fd)
            body()
            status = 0
        except BaseException:  # noqa: BLE001 - the launcher's stack is below, and must never be returned to
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(status)

    def _wait(self, sock: _socket.socket) -> None:
        keeper = Keeper(self._attend)
        packet = receive(sock)
        if packet is None:
            keeper.dismiss()
            return
        sock.close()
        request, fds = packet
        if request.startswith(_SHIM):
            _take_null_stderr()
            _set_name(b"moor-shim")
            keeper.run(request, fds)
        else:
            worker.run(json.loads(request), fds[0], fds[1:])

    def _attend(self, link: Link, kept: bytes, fds: list[int], cut: bool) -> None:  # noqa: FBT001 - the keeper spares itself names
        shim.attend(link, kept, fds, cut=cut, run_root=self._run_root, allow_faults=self._allow_faults)


def _take_null_stderr() -> None:
    """Let go of the daemon's stderr, which may be a pipe whose end somebody waits for."""
    null_fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null_fd, 2)
    os.close(null_fd)


def _set_name(name: bytes) -> None:
    """Change what ps shows; by the file, because ctypes copies more pages."""
    fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, name)
    os.close(fd)
