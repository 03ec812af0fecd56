"""The daemon's end of a shim's control socket.

One connection to one shim: requests are answered by sequence number, events come when
they come. The shim outlives the daemon, so a client is made either from the socket that
went to the launcher with the start, or by connecting to `<bundle>/shim.sock` later.
"""

import array
import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from moorage.api.shim import MAX_PACKET
from moorage.errors import SystemFailureError

Message = dict[str, Any]

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Message)


class ShimError(SystemFailureError):
    """The shim refused a request.

    Attributes:
        kind: A value of `moorage.api.shim.ErrorKind`.
        exit_code: 126, 127 or 128 if a process could not be started.
    """

    def __init__(self, kind: str, message: str, *, exit_code: int = 0) -> None:
        super().__init__(message)
        self.kind = kind
        self.exit_code = exit_code


class ShimGoneError(SystemFailureError):
    """The connection to the shim ended before it answered."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"the shim of container {subject} is gone")


class ShimSilentError(SystemFailureError):
    """The shim did not answer in time; it may be stopped, or wait for a broken disk."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"the shim of container {subject} does not answer")


@dataclass(frozen=True, slots=True)
class ShimHandlers:
    """What is called, on the loop, when a shim speaks unasked.

    Attributes:
        event: With every event message.
        closed: Once, when the connection ends from the other side.
    """

    event: Callable[[Message], None]
    closed: Callable[[], None]


class ShimClient:
    """A connection to one shim.

    Attributes:
        subject: The container's ID, for messages.
    """

    def __init__(self, connection: socket.socket, *, subject: str, handlers: ShimHandlers) -> None:
        """Take over `connection`, a connected SOCK_SEQPACKET socket."""
        connection.setblocking(False)  # noqa: FBT003 - the standard library's signature
        self.subject = subject
        self._handlers = handlers
        self._socket = connection
        self._loop = asyncio.get_running_loop()
        self._seq = 0
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self._outgoing: deque[tuple[bytes, tuple[int, ...], asyncio.Future[None]]] = deque()
        self._closed = False
        self._loop.add_reader(connection.fileno(), self._on_readable)

    @property
    def closed(self) -> bool:
        """Whether the connection has ended, from either side."""
        return self._closed

    async def call(
        self, request: Mapping[str, object], *, fds: Sequence[int] = (), seconds: float | None = None
    ) -> Message:
        """Send a request and return the shim's answer.

        Args:
            fds: Sent along; they stay the caller's to close once this returns.
            seconds: How long to wait; None for ever.

        Raises:
            ShimError: The shim refused.
            ShimGoneError: It ended first.
            ShimSilentError: It did not answer in time.
        """
        if self._closed:
            raise ShimGoneError(self.subject)
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(request, fds)
        except TimeoutError:
            raise ShimSilentError(self.subject) from None

    async def _exchange(self, request: Mapping[str, object], fds: Sequence[int]) -> Message:
        self._seq += 1
        seq = self._seq
        answer: asyncio.Future[Message] = self._loop.create_future()
        self._answers[seq] = answer
        try:
            await self._send(_encoder.encode({"seq": seq, **request}), tuple(fds))
            reply = await answer
        finally:
            self._answers.pop(seq, None)
            if answer.done() and not answer.cancelled():
                # A connection that ends while the request is sent fails both; asyncio reports what nobody looks at.
                answer.exception()
        if (error := reply.get("error")) is not None:
            raise ShimError(error.get("kind", ""), error.get("message", ""), exit_code=error.get("exit_code", 0))
        return reply

    def notify(self, request: Mapping[str, object]) -> None:
        """Send a request whose answer nobody waits for; a shim that is gone is no error."""
        if self._closed:
            return
        self._seq += 1
        try:
            self._socket.send(_encoder.encode({"seq": self._seq, **request}))
        except OSError:
            # Full or gone. Only messages that a later reconnection repeats are sent this way.
            return

    def close(self) -> None:
        """End the connection; the shim lives on."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        gone = ShimGoneError(self.subject)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(gone)
        for _, _, sent in self._outgoing:
            if not sent.done():
                sent.set_exception(gone)
        self._outgoing.clear()

    async def _send(self, data: bytes, fds: tuple[int, ...]) -> None:
        if not self._outgoing and self._try_send(data, fds):
            return
        sent: asyncio.Future[None] = self._loop.create_future()
        self._outgoing.append((data, fds, sent))
        self._loop.add_writer(self._socket.fileno(), self._on_writable)
        await sent

    def _try_send(self, data: bytes, fds: tuple[int, ...]) -> bool:
        try:
            if fds:
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
                self._socket.sendmsg([data], [rights])
            else:
                self._socket.send(data)
        except BlockingIOError:
            return False
        except OSError as error:
            self._lost()
            raise ShimGoneError(self.subject) from error
        return True

    def _on_writable(self) -> None:
        while self._outgoing:
            data, fds, sent = self._outgoing[0]
            try:
                if not sent.done() and not self._try_send(data, fds):
                    return
            except ShimGoneError:
                return  # everything queued was failed by the close
            self._outgoing.popleft()
            if not sent.done():
                sent.set_result(None)
        self._loop.remove_writer(self._socket.fileno())

    def _on_readable(self) -> None:
        # A few messages per wake-up: an exit with its last events is one burst, and no
        # shim may starve the others.
        for _ in range(8):
            try:
                data = self._socket.recv(MAX_PACKET)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._lost()
                return
            self._dispatch(_decoder.decode(data))
            if self._closed:
                return

    def _dispatch(self, message: Message) -> None:
        if (seq := message.get("seq")) is None:
            self._handlers.event(message)
            return
        answer = self._answers.get(seq)
        if answer is not None and not answer.done():
            answer.set_result(message)

    def _lost(self) -> None:
        if not self._closed:
            self.close()
            self._handlers.closed()


def connect(path: Path, *, subject: str, handlers: ShimHandlers) -> ShimClient:
    """Connect to a living shim at its socket `path`.

    Raises:
        BlockingIOError: Somebody listens and does not accept.
        OSError: Nobody listens there (ECONNREFUSED, ENOENT): the shim is gone.
    """
    return ShimClient(connected(path), subject=subject, handlers=handlers)


def connected(path: Path) -> socket.socket:
    """Return a socket, non-blocking and the caller's, that is connected to a shim's socket.

    Raises:
        OSError: As for `connect`.
    """
    # Non-blocking from the start: with a full backlog connect(2) waits as well.
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        # The directory is entered by descriptor because a socket's path is limited to
        # 107 bytes, and an ID alone takes 64.
        directory_fd = os.open(path.parent, os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{directory_fd}/{path.name}")
        finally:
            os.close(directory_fd)
    except OSError:
        connection.close()
        raise
    return connection
