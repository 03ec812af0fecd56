"""The process that stays with a container, and does as little as possible.

Whatever Python runs, it copies pages: each reference counted is a write. So the work is done
by another process, the attendant, and the keeper only holds what must not be lost: it is the
parent of the container's processes, and has a copy of every descriptor. When nothing has
happened for a while the attendant ends, and its memory with it; when something happens the
keeper forks the next one. If an attendant is killed, the next one goes on in its place.

What the two say to each other is one letter, then bytes that the keeper does not look at:
decoding JSON would cost a tenth of its memory. For the same reason it uses sockets and
signals as C made them (the Python around them converts numbers to enums and back), and a
prctl(2) that does not look at errno: each of the three saves it about 100 KiB.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed has only signal
import _socket
import ctypes
import os
import select
import struct
import sys
import time
import traceback

from moorage.api.shim import (
    ANCILLARY_SPACE,
    MAX_FDS,
    MAX_PACKET,
    MORE,
    MSG_CMSG_CLOEXEC,
    SCM_RIGHTS,
    SOL_SOCKET,
    frame,
)
from moorage.kernel.close_range import close_range
from moorage.kernel.prctl import set_parent_death_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Attend = Callable[["Link", bytes, list[int], bool], None]

_KEEP = b"K"
_MORE = frame(MORE)[0]
_REAP = b"R"
_SLEEP = b"S"
_QUIT = b"Q"
_KEPT = struct.Struct("=cIH")
"""Letter, init process, how many of the descriptors wake."""
_PACKET = MAX_PACKET + 64
_REHEARSALS = 16
"""More than the 8 calls after which the interpreter adapts a function."""
_MAX_STATUSES = 4096
_PATIENCE = 1.0
"""Seconds an attendant should live; killed sooner, the next one is not forked at once."""


_prctl = ctypes.PyDLL(None)["prctl"]
_SET_CHILD_SUBREAPER = 36


class Keeper:
    """Holds a container while attendants come and go.

    Args:
        attend: Runs in each attendant, with what was kept and its descriptors, and whether the
            last one was killed; nothing was kept yet for the first one.
    """

    __slots__ = (
        "_attend",
        "_attendant",
        "_cut",
        "_fds",
        "_forked_at",
        "_init",
        "_kept",
        "_sock",
        "_statuses",
        "_waking",
    )

    def __init__(self, attend: Attend) -> None:
        _prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._attend = attend
        self._attendant = self._init = self._waking = 0
        self._cut = False
        self._kept = b""
        self._fds: list[int] = []
        self._statuses: dict[int, int] = {}
        self._sock = self._fork()

    def run(self, request: bytes, fds: Sequence[int]) -> None:
        """Hand the request to the first attendant, and stay until all is over.

        Args:
            fds: They go with the request, and are closed here.
        """
        _signal.signal(_signal.SIGCHLD, self._reap)
        send(self._sock, request, fds)
        for fd in fds:
            os.close(fd)
        while (word := self._serve()) != _QUIT:
            if not self._kept:
                # Killed before there was a container: the daemon sees the end of the control.
                return
            self._cut = word != _SLEEP
            if not self._cut:
                self._sleep()
            elif time.monotonic() - self._forked_at < _PATIENCE:
                time.sleep(_PATIENCE)
            self._sock = self._fork_patiently()

    def _fork_patiently(self) -> _socket.socket:
        while True:
            try:
                return self._fork()
            except OSError:
                # No more processes or memory: the container goes on, and its pipes hold what it writes.
                time.sleep(_PATIENCE)

    def _fork(self) -> _socket.socket:
        ours, theirs = socket_pair()
        self._forked_at = time.monotonic()
        keeper = os.getpid()
        self._attendant = os.fork()
        if self._attendant:
            theirs.close()
            return ours
        status = 1
        try:
            set_parent_death_signal(_signal.SIGKILL)
            _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
            self._close_all_but(theirs)
            # Killed before the line above, the keeper's end was not told.
            if os.getppid() == keeper:
                self._attend(Link(theirs), self._kept, self._fds, self._cut)
            status = 0
        except BaseException:  # noqa: BLE001 - the keeper's stack is below, and must never be returned to
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(status)

    def _close_all_but(self, sock: _socket.socket) -> None:
        """In the child: drop what only the keeper may hold, so that each end of file is seen."""
        kept = {sock.fileno(), *self._fds}
        first = 3
        for fd in sorted(kept):
            if fd > first:
                close_range(first, fd - 1)
            first = fd + 1
        close_range(first)

    def _serve(self) -> bytes:
        """Do what the attendant asks until it ends; return its last word."""
        word = b""
        while packet := receive(self._sock):
            payload, fds = packet
            word = payload[:1]
            if word == _KEEP:
                self._keep(payload, fds)
            elif word == _REAP:
                self._sock.send(b"%d" % self._status(int(payload[1:])))
        self.dismiss()
        return word

    def dismiss(self) -> None:
        """Let the attendant end, and wait for it: not every host has an init that reaps for us."""
        self._sock.close()
        try:
            os.waitpid(self._attendant, 0)
        except ChildProcessError:
            return  # The signal's handler was faster.

    def _keep(self, payload: bytes, fds: list[int]) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds = fds
        _, self._init, self._waking = _KEPT.unpack_from(payload)
        self._kept = payload[_KEPT.size :]
        # The attendant waits: what it closes next must be closed for good.
        self._sock.send(_KEEP)

    def _sleep(self) -> None:
        for pid in tuple(self._statuses):
            if pid != self._init:
                del self._statuses[pid]
        poll = select.poll()
        for fd in self._fds[: self._waking]:
            poll.register(fd, select.POLLIN)
        self._attendant = 0
        poll.poll()

    def _status(self, pid: int) -> int:
        if pid not in self._statuses:
            try:
                self._statuses[pid] = os.waitpid(pid, 0)[1]
            except ChildProcessError:
                # The signal's handler was faster, or it never was ours.
                return self._statuses.get(pid, -1)
        return self._statuses[pid]

    def _reap(self, _signum: int, _frame: object) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            # Asleep it is an orphan, unless it is the init process.
            if self._attendant or pid == self._init:
                self._statuses[pid] = status
                if len(self._statuses) > _MAX_STATUSES:
                    # Orphans of a container that shares our PIDs: nobody will ask for the oldest.
                    del self._statuses[next(one for one in self._statuses if one != self._init)]


class Link:
    """The attendant's end."""

    __slots__ = ("_sock",)

    def __init__(self, sock: _socket.socket) -> None:
        self._sock = sock

    def receive(self) -> tuple[bytes, list[int]]:
        """Return the request and its descriptors; empty if the launcher has ended before there was one."""
        return receive(self._sock) or (b"", [])

    def keep(self, state: bytes, *, init: int, waking: Sequence[int], others: Sequence[int]) -> None:
        """Leave with the keeper what the next attendant goes on with; return when it has let go of all else.

        Args:
            init: The init process.
            waking: Descriptors that wake a next attendant when they are readable.
            others: Further descriptors.
        """
        send(self._sock, _KEPT.pack(_KEEP, init, len(waking)) + state, [*waking, *others])
        self._sock.recv(1)

    def reap(self, pid: int) -> int:
        """Return the wait status of an ended child of the keeper; -1 if it has none of this ID."""
        self._sock.send(_REAP + b"%d" % pid)
        return int(self._sock.recv(32))

    def sleep(self) -> None:
        """Say that this attendant ends because there is nothing to do."""
        self._sock.send(_SLEEP)

    def quit(self) -> None:
        """Say that all is over."""
        self._sock.send(_QUIT)


def socket_pair() -> tuple[_socket.socket, _socket.socket]:
    """Return two connected sockets, close-on-exec, that keep packets apart."""
    return _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)


def rehearse() -> None:
    """Do once what every keeper will do.

    The interpreter remembers what it looked up and adapts its code, by writing to it: before
    the fork that is written once for all.
    """
    ours, theirs = socket_pair()
    handler = _signal.getsignal(_signal.SIGCHLD)
    for _ in range(_REHEARSALS):
        send(ours, _KEEP, (ours.fileno(),))
        packet = receive(theirs)
        for fd in packet[1] if packet else ():
            os.close(fd)
        poll = select.poll()
        poll.register(theirs.fileno(), select.POLLIN)
        poll.poll(0)
        _signal.signal(_signal.SIGCHLD, handler)
    ours.close()
    theirs.close()


def send(sock: _socket.socket, payload: bytes, fds: Sequence[int]) -> None:
    """Send a packet with any number of descriptors, those in excess of what one can hold ahead of it."""
    excess = max(0, (len(fds) - 1) // MAX_FDS) * MAX_FDS
    for start in range(0, excess, MAX_FDS):
        _send(sock, _MORE, fds[start : start + MAX_FDS])
    _send(sock, payload, fds[excess:])


def receive(sock: _socket.socket) -> tuple[bytes, list[int]] | None:
    """Return what was sent, and its descriptors; None at the end."""
    fds: list[int] = []
    while True:
        try:
            payload, ancillary, _, _ = sock.recvmsg(_PACKET, ANCILLARY_SPACE, MSG_CMSG_CLOEXEC)
        except ConnectionError:
            return None
        if not payload:
            return None
        for _, _, data in ancillary:
            fds.extend(struct.unpack(f"{len(data) // 4}i", data))
        if payload != _MORE:
            return payload, fds


def _send(sock: _socket.socket, payload: bytes, fds: Sequence[int]) -> None:
    rights = [(SOL_SOCKET, SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
    sock.sendmsg([payload], rights)
