"""The launcher, as the daemon sees it: a program it keeps running and sends requests to.

The launcher answers nothing itself. What it starts speaks on a control socket that goes
with the request, so a request to a launcher that dies is noticed there, as an end of file.

Spec: `moorage.api.shim`.
"""

import asyncio
import logging
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import moorage
from moorage import faults
from moorage.api.shim import Do, frames
from moorage.engine.shims import ShimClient, ShimHandlers
from moorage.errors import UnavailableError
from moorage.kernel.sockets import unread_by_peer

_PROGRAM: Final = Path(moorage.__file__).parent / "launcher"
_POOL: Final = 2
_RESTART_PAUSE: Final = 1.0
_STUCK_SECONDS: Final = 3.0
"""How long a request may lie unread while the launcher does nothing at all."""
_LAST_WAIT: Final = 1.0

_log = logging.getLogger(__name__)


class LauncherDownError(UnavailableError):
    """The launcher cannot be reached; it is being started again."""

    def __init__(self) -> None:
        super().__init__("the launcher is not running")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedClient:
    """A client's connection on its way to a shim.

    Attributes:
        connection: The daemon's copy; whoever sends it closes it.
        request: The ATTACH object of `moorage.api.shim`.
    """

    connection: socket.socket
    request: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Queued:
    """A request that did not fit in the socket, with its own copies of the descriptors."""

    packets: deque[tuple[bytes, list[tuple[int, int, bytes]]]]
    fds: list[int]


class Launcher:
    """Keeps one launcher process running and sends it requests."""

    def __init__(self, run_root: Path, *, pool: int = _POOL, allow_faults: bool = False) -> None:
        self._run_root = run_root
        self._pool = pool
        self._allow_faults = allow_faults
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._outgoing: deque[_Queued] = deque()
        self._started_at = 0.0
        self._stopping = False
        self._watch: asyncio.TimerHandle | None = None
        # Killed, but in a system call that does not end: waited for when the next one goes.
        self._undead: list[subprocess.Popen[bytes]] = []

    @property
    def pid(self) -> int:
        """The process ID of the launcher; 0 if it does not run."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start the launcher process; when it dies it is started again, until `stop`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)  # noqa: FBT003 - the standard library's signature
        arguments = [sys.executable, "-I", "-S", str(_PROGRAM), "--socket", str(theirs.fileno())]
        arguments += ["--run-root", str(self._run_root), "--pool", str(self._pool)]
        if self._allow_faults:
            arguments.append("--allow-faults")
        with theirs:
            # A plain Popen, not asyncio's: the end of file on the socket tells of the
            # death, and a child watcher would be one more thing to go wrong.
            self._process = subprocess.Popen(
                arguments, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )
        self._socket = ours
        self._started_at = time.monotonic()
        asyncio.get_running_loop().add_reader(ours.fileno(), self._on_readable)

    def stop(self) -> None:
        """Let the launcher go; the shims it started live on."""
        self._stopping = True
        self._disconnect()

    def send(self, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
        """Send one request; the descriptors stay the caller's.

        Raises:
            LauncherDownError: There is no launcher right now.
        """
        if self._socket is None:
            raise LauncherDownError
        if self._watch is None:
            self._watch_reading("")
        packets = frames(dict(message), fds)
        if not self._outgoing and len(packets) == 1 and self._try_send(*packets[0]):
            return
        # The descriptors must live until they are sent, and the caller closes its own.
        copies = [os.dup(fd) for fd in fds]
        self._outgoing.append(_Queued(deque(frames(dict(message), copies)), copies))
        self._on_writable()

    def start_shim(
        self,
        bundle: Path,
        *,
        subject: str,
        forwards: Sequence[socket.socket] = (),
        attaches: Sequence[AttachedClient] = (),
        handlers: ShimHandlers,
    ) -> ShimClient:
        """Start a shim for a bundle and return the connection on which it will speak.

        Args:
            subject: The container's ID.
            forwards: Listening sockets of published ports, in the order of the launch plan.
            attaches: Client connections to join to the container's streams.

        Raises:
            LauncherDownError: There is no launcher right now.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request: dict[str, object] = {
            "do": Do.SHIM,
            "bundle": str(bundle),
            "forwards": len(forwards),
            "attaches": [client.request for client in attaches],
        }
        if self._allow_faults and (fault := faults.shim_point()):
            request["fault"] = fault
        fds = [
            theirs.fileno(),
            *(listener.fileno() for listener in forwards),
            *(client.connection.fileno() for client in attaches),
        ]
        try:
            with theirs:
                self.send(request, fds)
        except BaseException:
            ours.close()
            raise
        return ShimClient(ours, subject=subject, handlers=handlers)

    def _watch_reading(self, before: str) -> None:
        """Look in a while whether what was sent is read; a launcher that is stuck is replaced.

        Args:
            before: What the launcher had done when something was unread the last time.
        """
        self._watch = asyncio.get_running_loop().call_later(_STUCK_SECONDS, self._check_reading, before)

    def _check_reading(self, before: str) -> None:
        self._watch = None
        if (
            self._socket is None
            or self._process is None
            or not (self._outgoing or unread_by_peer(self._socket.fileno()))
        ):
            return
        now = _activity(self._process.pid)
        if now == before:
            _log.error("the launcher (process %d) does not read its requests; killing it", self._process.pid)
            self._process.kill()
            self._restart()
        else:
            self._watch_reading(now)

    def _try_send(self, payload: bytes, ancillary: list[tuple[int, int, bytes]]) -> bool:
        if self._socket is None:
            raise LauncherDownError
        try:
            self._socket.sendmsg([payload], ancillary)
        except BlockingIOError:
            return False
        except OSError as error:
            self._restart()
            raise LauncherDownError from error
        return True

    def _on_writable(self) -> None:
        while self._outgoing and self._socket is not None:
            queued = self._outgoing[0]
            while queued.packets:
                try:
                    sent = self._try_send(*queued.packets[0])
                except LauncherDownError:
                    return  # the disconnection closed everything queued; their controls end
                if not sent:
                    asyncio.get_running_loop().add_writer(self._socket.fileno(), self._on_writable)
                    return
                queued.packets.popleft()
            self._outgoing.popleft()
            _close_all(queued.fds)
        if self._socket is not None:
            asyncio.get_running_loop().remove_writer(self._socket.fileno())

    def _on_readable(self) -> None:
        # It never speaks here, so there is only its end to be read.
        self._restart()

    def _restart(self) -> None:
        self._disconnect()
        if self._stopping:
            return
        _log.error("the launcher ended; starting another one")
        pause = max(0.0, _RESTART_PAUSE - (time.monotonic() - self._started_at))
        asyncio.get_running_loop().call_later(pause, self._start_again)

    def _start_again(self) -> None:
        if not self._stopping and self._socket is None:
            self.start()

    def _disconnect(self) -> None:
        if self._socket is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket.fileno())
            loop.remove_writer(self._socket.fileno())
            self._socket.close()
            self._socket = None
        while self._outgoing:
            _close_all(self._outgoing.popleft().fds)
        if self._process is not None:
            # It leaves at the end of file on its socket; one that does not is stuck.
            if not _ends(self._process):
                self._process.kill()
                if not _ends(self._process):
                    self._undead.append(self._process)
            self._process = None
        self._undead = [process for process in self._undead if process.poll() is None]


def _ends(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=_LAST_WAIT)
    except subprocess.TimeoutExpired:
        return False
    return True


def _activity(pid: int) -> str:
    """Return what changes whenever a process does anything: its page faults and its times."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return " ".join(fields[7:15])


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
