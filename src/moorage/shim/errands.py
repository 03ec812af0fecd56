"""Work given to forked processes that end with it.

Reading a specification and making namespaces takes milliseconds and may wait for hooks; the
streams of a running container must not wait for that. What an errand starts stays when it
ends: the keeper is the subreaper, so the container's processes become its children.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import traceback

from moorage.api.shim import ANCILLARY_SPACE, MAX_PACKET, MSG_CMSG_CLOEXEC, ErrorKind, frame, unframe
from moorage.kernel import prctl
from moorage.kernel.close_range import close_range
from moorage.shim.loop import READ
from moorage.shim.problems import problem
from moorage.shim.work import perform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from moorage.api.shim import Message
    from moorage.shim.loop import Loop

    Done = Callable[[Message, list[int]], None]

_DIED: Message = {"error": {"kind": ErrorKind.SYSTEM, "message": "the process that was to do it was killed"}}


class Errand:
    """One forked process that waits for a message, carries it out, answers and ends."""

    __slots__ = ("_pid", "sock")

    def __init__(self) -> None:
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        attendant = os.getpid()
        with theirs:
            self._pid = os.fork()
            if self._pid == 0:
                _serve_once(theirs, attendant)

    def send(self, message: Message, fds: Sequence[int]) -> None:
        """Say what to do; the descriptors stay the caller's."""
        payload, ancillary = frame(message, fds)
        self.sock.sendmsg([payload], ancillary)

    def receive(self) -> tuple[Message, list[int]]:
        """Return the answer and the descriptors that belong to it, now the caller's."""
        try:
            payload, ancillary, flags, _ = self.sock.recvmsg(MAX_PACKET, ANCILLARY_SPACE, MSG_CMSG_CLOEXEC)
        except ConnectionError:
            return _DIED, []
        return unframe(payload, ancillary, flags) if payload else (_DIED, [])

    def kill(self) -> None:
        """End it and what it has begun, and do not wait: it may be in a system call that does not end."""
        self.sock.close()
        for pid in (*self._children(), self._pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _children(self) -> list[int]:
        try:
            with open(f"/proc/{self._pid}/task/{self._pid}/children", encoding="ascii") as file:  # noqa: PTH123
                return [int(pid) for pid in file.read().split()]
        except OSError:
            return []

    def wait(self) -> None:
        """Wait for its end, when it has answered; what it started then belongs to the keeper."""
        self.sock.close()
        os.waitpid(self._pid, 0)


class Errands:
    """All errands of one shim.

    Args:
        first: A process forked ahead, for the container's start.
        context: Sent with every message.
    """

    __slots__ = ("_context", "_first", "_loop", "running")

    def __init__(self, loop: Loop, *, first: Errand | None, context: Message) -> None:
        self._loop = loop
        self._first = first
        self._context = context
        self.running = 0

    def run(self, message: Message, *, fds: Sequence[int] = (), done: Done) -> Callable[[], None]:
        """Have something done; return what calls it off, whose answer never comes then.

        Args:
            message: `work` and its arguments.
            fds: They stay the caller's, who may close them at once.
            done: Called with the answer, which has `error` if it failed, and with
                descriptors that it owns.

        Raises:
            OSError: No process can be forked for it.
        """
        errand = self._first or Errand()
        self._first = None
        self.running += 1
        with contextlib.suppress(ConnectionError):
            # If it was killed, the end of file that follows says so.
            errand.send(self._context | message, fds)
        self._loop.watch(errand.sock.fileno(), READ, lambda _events: self._finish(errand, done))
        return lambda: self._cancel(errand)

    def _cancel(self, errand: Errand) -> None:
        if errand.sock.fileno() >= 0:
            self._loop.forget(errand.sock.fileno())
            self.running -= 1
            errand.kill()

    def _finish(self, errand: Errand, done: Done) -> None:
        message, fds = errand.receive()
        self._loop.forget(errand.sock.fileno())
        self.running -= 1
        try:
            done(message, fds)
        finally:
            errand.wait()


def _serve_once(sock: socket.socket, attendant: int) -> None:
    """Be the errand's process; never return."""
    status = 1
    try:
        # Without its shim nobody would take over what it makes.
        prctl.set_parent_death_signal(signal.SIGKILL)
        # Clients, pipes and other errands' sockets: held open here, their ends would go unnoticed.
        close_range(3, sock.fileno() - 1)
        close_range(sock.fileno() + 1)
        payload, ancillary, flags, _ = sock.recvmsg(MAX_PACKET, ANCILLARY_SPACE, MSG_CMSG_CLOEXEC)
        # Killed before the first line, its end was not told.
        if payload and os.getppid() == attendant:
            _answer(sock, *unframe(payload, ancillary, flags))
        status = 0
    except BaseException:  # noqa: BLE001 - the shim's stack is below, and must never be returned to
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(status)


def _answer(sock: socket.socket, message: Message, fds: list[int]) -> None:
    try:
        answer, result_fds = perform(message, fds)
    except Exception as error:  # noqa: BLE001 - whatever it was, the shim waits for an answer
        answer, result_fds = {"error": problem(error)}, []
    payload, ancillary = frame(answer, result_fds)
    sock.sendmsg([payload], ancillary)
