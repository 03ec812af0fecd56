"""The way to a log server: every kind of socket a driver may use.

Errors are worded as Go words them, since clients see those of a start. Standard library only:
it runs beside the shim.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket

from moorage.logs.tls import Encryption, TlsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from moorage.logs.patience import Patience

CONNECT_LIMIT = 10.0
"""Seconds to connect within: a start waits for it."""
_TEXTS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ENOENT: "no such file or directory",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    errno.EACCES: "permission denied",
    errno.ECONNRESET: "connection reset by peer",
    errno.EPIPE: "broken pipe",
    errno.EPROTOTYPE: "protocol wrong type for socket",
}
_BACKLOG_PAUSE = 0.05


class Address:
    """Where a server is.

    Args:
        plan: `network`: "udp", "tcp", "tls", "unix" or "unixgram"; `host` and `port`, or `path`;
            for "tls" what `Encryption` takes.
    """

    __slots__ = ("_plan", "is_datagram", "network")

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self._plan = plan
        self.network: str = plan["network"]
        self.is_datagram = self.network in {"udp", "unixgram"}

    def __str__(self) -> str:
        if "path" in self._plan:
            return str(self._plan["path"])
        host = self._plan["host"]
        return f"[{host}]:{self._plan['port']}" if ":" in host else f"{host}:{self._plan['port']}"

    @property
    def dialled(self) -> str:
        """The network as Go names it."""
        return "tcp" if self.network == "tls" else self.network

    @property
    def encryption(self) -> Encryption | None:
        """How to encrypt."""
        return Encryption(self._plan["host"], self._plan.get("tls", {})) if self.network == "tls" else None

    def candidates(self) -> list[tuple[int, Any]]:
        """Return families and addresses to try.

        Raises:
            DialError: The name is not known.
        """
        if "path" in self._plan:
            return [(socket.AF_UNIX, self._plan["path"])]
        host, port = self._plan["host"], self._plan["port"]
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM if self.is_datagram else socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            cause = "no such host" if getattr(error, "errno", 0) == socket.EAI_NONAME else _text(error)
            raise DialError(f"dial {self.dialled}: lookup {host}: {cause}") from error
        return [(family, address) for family, _, _, _, address in found]


class DialError(OSError):
    """A server cannot be reached."""


class Connection:
    """One connection at a time, made anew when asked.

    Args:
        patience: How long to wait for the server.
        write_limit: Seconds in which a server must take something; None waits.
    """

    __slots__ = ("_address", "_encryption", "_patience", "_sock", "_write_limit")

    def __init__(self, address: Address, patience: Patience, *, write_limit: float | None = None) -> None:
        self._address = address
        self._patience = patience
        self._write_limit = write_limit
        self._sock: socket.socket | None = None
        self._encryption: Encryption | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether there is a connection, as far as one knows."""
        return self._sock is not None

    def open(self, *, seconds: float = CONNECT_LIMIT) -> None:
        """Connect.

        Raises:
            DialError: There is no way to the server.
            OutOfPatienceError: The container has ended.
        """
        self.close()
        failure = DialError(f"dial {self._address.dialled} {self._address}: no suitable address found")
        for family, target in self._address.candidates():
            try:
                self._sock = self._connect(family, target, seconds)
                self._encrypt(seconds)
            except TlsError as error:
                self.close()
                raise DialError(str(error)) from error
            except OSError as error:
                self.close()
                failure = DialError(_dial_text(self._address, target, error))
            else:
                return
        raise failure

    def close(self) -> None:
        """Hang up."""
        if self._sock is not None:
            if self._encryption is not None:
                with contextlib.suppress(OSError):
                    self._sock.send(self._encryption.farewell())
            # Closed with something unread, TLS's tickets for one, the connection is reset, and
            # the server may lose what it has not yet read itself.
            self.has_ended()
            self._sock.close()
        self._sock = self._encryption = None

    def send(self, packets: Sequence[bytes]) -> int:
        """Send packets and return how many went out whole; fewer than all mean that the connection is lost.

        Raises:
            OutOfPatienceError: The container has ended, and the server takes nothing.
        """
        assert self._sock is not None  # noqa: S101 - the driver connects first
        if self._address.is_datagram:
            return self._send_datagrams(packets)
        sizes = [len(packet) for packet in packets]
        data = b"".join(packets)
        if self._encryption is None:
            sent = self._send_bytes(data)
        else:
            # Of what was encrypted together nobody knows how much arrived.
            encrypted = self._encryption.encrypt(data)
            sent = len(data) if self._send_bytes(encrypted) == len(encrypted) else 0
        count = 0
        for size in sizes:
            if sent < size:
                break
            sent -= size
            count += 1
        return count

    def send_datagram(self, packet: bytes, *, fds: Sequence[int] = ()) -> None:
        """Send one datagram, which may carry descriptors.

        Raises:
            OSError: It cannot be sent.
            OutOfPatienceError: The container has ended, and the server takes nothing.
        """
        assert self._sock is not None  # noqa: S101 - the driver connects first
        while True:
            try:
                if fds:
                    socket.send_fds(self._sock, [packet], list(fds))
                else:
                    self._sock.send(packet)
            except BlockingIOError:
                self._patience.wait(self._sock.fileno(), select.POLLOUT)
            else:
                return

    def receive(self, *, seconds: float | None) -> bytes:
        """Return what the server says, nothing if it hangs up.

        Raises:
            OSError: The connection is lost, or it says nothing in time.
            OutOfPatienceError: The container has ended.
        """
        assert self._sock is not None  # noqa: S101 - the driver connects first
        while True:
            if not self._patience.wait(self._sock.fileno(), select.POLLIN, seconds=seconds):
                raise TimeoutError("i/o timeout")
            with contextlib.suppress(BlockingIOError):
                data = self._sock.recv(4096)
                if self._encryption is None or not data:
                    return data
                if plain := self._encryption.decrypt(data):
                    return plain

    def has_ended(self) -> bool:
        """Tell whether the server has hung up, as far as can be seen without waiting; what it said is dropped."""
        if self._sock is None or self._address.is_datagram:
            return False
        try:
            while data := self._sock.recv(65536):
                if self._encryption is not None:
                    self._encryption.decrypt(data)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def _connect(self, family: int, target: Any, seconds: float) -> socket.socket:
        kind = socket.SOCK_DGRAM if self._address.is_datagram else socket.SOCK_STREAM
        sock = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            self._connect_socket(sock, target, seconds)
        except BaseException:
            sock.close()
            raise
        return sock

    def _connect_socket(self, sock: socket.socket, target: Any, seconds: float) -> None:
        while (code := sock.connect_ex(target)) == errno.EAGAIN:
            # A unix socket whose server has not yet taken those before us; nothing tells when it has.
            self._patience.pause(_BACKLOG_PAUSE)
            seconds -= _BACKLOG_PAUSE
            if seconds <= 0:
                raise TimeoutError("i/o timeout")
        if code == errno.EINPROGRESS:
            if not self._patience.wait(sock.fileno(), select.POLLOUT, seconds=seconds):
                raise TimeoutError("i/o timeout")
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))

    def _encrypt(self, seconds: float) -> None:
        self._encryption = self._address.encryption
        if self._encryption is None or self._sock is None:
            return
        while not self._encryption.shake_hands():
            self._send_bytes(self._encryption.outgoing())
            if not self._patience.wait(self._sock.fileno(), select.POLLIN, seconds=seconds):
                raise TimeoutError("i/o timeout")
            self._encryption.incoming(self._sock.recv(65536))
        self._send_bytes(self._encryption.outgoing())

    def _send_bytes(self, data: bytes) -> int:
        assert self._sock is not None  # noqa: S101 - the driver connects first
        view = memoryview(data)
        sent = 0
        try:
            while sent < len(data):
                try:
                    sent += self._sock.send(view[sent:])
                except BlockingIOError:
                    if not self._patience.wait(self._sock.fileno(), select.POLLOUT, seconds=self._write_limit):
                        break
        except OSError:
            pass
        return sent

    def _send_datagrams(self, packets: Sequence[bytes]) -> int:
        for count, packet in enumerate(packets):
            try:
                self.send_datagram(packet)
            except OSError:
                return count
        return len(packets)


def _dial_text(address: Address, target: Any, error: OSError) -> str:
    where = target if isinstance(target, str) else f"[{target[0]}]:{target[1]}" if ":" in target[0] else _joined(target)
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return f"dial {address.dialled} {where}: i/o timeout"
    return f"dial {address.dialled} {where}: connect: {_text(error)}"


def _joined(target: Any) -> str:
    return f"{target[0]}:{target[1]}"


def _text(error: Exception) -> str:
    return _TEXTS.get(getattr(error, "errno", None) or 0) or str(getattr(error, "strerror", None) or error).lower()
