"""The launcher: waits for requests, and forks.

Single-threaded, without state: it can be killed and started again at any time, and the
shims it has forked do not notice.
"""

from __future__ import annotations

import _socket
import contextlib
import fcntl
import gc
import os
import select
import signal
import sys

from moorage.kernel import prctl
from moorage.launcher.pool import Pool
from moorage.launcher.sealing import forbid_imports
from moorage.runtime import process
from moorage.shim.keeper import receive, rehearse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CALM = 20
"""Milliseconds without a request before a used-up process is replaced: a fork competes with the start just made."""


class Options:
    """What the daemon gives on the command line."""

    __slots__ = ("allow_faults", "pool", "run_root", "socket_fd")

    def __init__(self, arguments: Sequence[str]) -> None:
        values = {"--pool": "2"}
        words = iter(arguments)
        self.allow_faults = False
        for word in words:
            if word == "--allow-faults":
                self.allow_faults = True
            elif word in {"--socket", "--run-root", "--pool"}:
                values[word] = next(words)
            else:
                raise SystemExit(f"moor-launcher: unknown option: {word}")
        self.socket_fd = int(values["--socket"])
        self.run_root = values["--run-root"]
        self.pool = int(values["--pool"])


def main(arguments: Sequence[str]) -> None:
    """Run until the daemon closes its end of the socket."""
    options = Options(arguments)
    # Ctrl-C at the daemon's terminal is for the daemon; its end is what ends the launcher.
    with contextlib.suppress(PermissionError):
        os.setsid()
    prctl.set_name("moor-launcher")
    prctl.set_dumpable(dumpable=False)
    _take_null_streams()
    process.warm_up()
    rehearse()
    # Children are then reaped by the kernel, without a wake-up.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    forbid_imports()
    gc.collect()
    # Collections would write to every object, and with that copy every page, in each fork.
    gc.disable()
    gc.freeze()
    sock = _socket.socket(fileno=options.socket_fd)
    fcntl.fcntl(sock.fileno(), fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    with _pid_file(f"{options.run_root}/launcher.pid"):
        Launcher(sock, options).run()


class Launcher:
    """Takes requests from one daemon.

    It does not look into them: what it touches between two forks is copied, and the copies
    stay with the process that was forked first.
    """

    __slots__ = ("_pool", "_sock")

    def __init__(self, sock: _socket.socket, options: Options) -> None:
        self._sock = sock
        self._pool = Pool(options.pool, run_root=options.run_root, allow_faults=options.allow_faults, forget=sock.close)

    def run(self) -> None:
        """Serve until end of file; never wake up without a request."""
        poll = select.poll()
        poll.register(self._sock.fileno(), select.POLLIN)
        while True:
            if poll.poll(None if self._pool.is_full else _CALM):
                packet = receive(self._sock)
                if packet is None:
                    return
                self._serve(*packet)
            else:
                # Without a warm process the next request is tried with a fork of its own.
                with contextlib.suppress(OSError):
                    self._pool.add()

    def _serve(self, request: bytes, fds: list[int]) -> None:
        try:
            self._pool.serve(request, fds)
        except OSError as error:
            sys.stderr.write(f"moor-launcher: could not serve a request: {error}\n")
        finally:
            # If it could not, whoever waits at the other end of the control reads an end of file.
            for fd in fds:
                os.close(fd)


def _take_null_streams() -> None:
    null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null_fd, 0)
    os.dup2(null_fd, 1)
    os.close(null_fd)


@contextlib.contextmanager
def _pid_file(path: str) -> Iterator[None]:
    with open(path, "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib is too slow to import here
        file.write(f"{os.getpid()}\n")
    yield
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - pathlib is too slow to import here
