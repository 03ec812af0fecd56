"""One HTTP/1 connection: requests in, answers out, in order, with back-pressure both ways.

A head is cut from the bytes and parsed as a whole (`heads`), a body is cut by its framing
(`bodies`), so what follows a request is always known exactly: a client's first bytes of a
hijacked stream often arrive together with the request that asks for it.

A client that leaves cancels the handler of its request.
"""

# (typing.override is newer than Python 3.11, and asyncio's protocols are all overrides.)

import asyncio
import logging
import select
from collections.abc import Coroutine
from typing import Any, Final, Protocol

from moorage.server.bodies import HIGH_WATER, ChunkedFraming, ClientGoneError, FixedFraming, Framing
from moorage.server.exchange import Exchange
from moorage.server.heads import HEAD_LIMIT, BadRequestError, parse_head, split_head
from moorage.server.responses import HeadWriter

_LOG: Final = logging.getLogger(__name__)
#: A client that closed its writing side may still read: seconds for a short answer to reach it.
_LINGER: Final = 1.0
#: Seconds to read and drop the rest of a body nobody wants: closing at once would reset the
#: connection and might destroy the answer on its way.
_DRAIN: Final = 2.0
_BAD_REQUEST: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
)


class Application(Protocol):
    """What answers requests."""

    @property
    def heads(self) -> HeadWriter:
        """Writes the heads of all answers."""
        ...

    def handle(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        """Answer at once, or return what will; never raises."""
        ...


class Connections:
    """The open connections of a listener."""

    __slots__ = ("_members", "_none")

    def __init__(self) -> None:
        self._members: set[Connection] = set()
        self._none = asyncio.Event()
        self._none.set()

    def add(self, connection: "Connection") -> None:
        """Take note of a new one."""
        self._members.add(connection)
        self._none.clear()

    def discard(self, connection: "Connection") -> None:
        """Forget one that ended, or is no longer the server's."""
        self._members.discard(connection)
        if not self._members:
            self._none.set()

    async def close(self, *, grace: float) -> None:
        """Let requests in progress end, for `grace` seconds at most."""
        for connection in tuple(self._members):
            connection.stop()
        try:
            async with asyncio.timeout(grace):
                await self._none.wait()
        except TimeoutError:
            for connection in tuple(self._members):
                connection.transport.abort()


class Connection(asyncio.Protocol):
    """The server's end of one client connection."""

    __slots__ = (
        "_advancing", "_application", "_buffer", "_eof", "_exchange", "_framing", "_loop", "_lost", "_open",
        "_reading", "_stopping", "_task", "_timer", "_writable", "transport",
    )  # fmt: skip

    def __init__(self, application: Application, *, connections: "Connections") -> None:
        self._application = application
        self._open = connections
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._exchange: Exchange | None = None
        self._framing: Framing | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writable: asyncio.Future[None] | None = None
        self._advancing = False
        self._reading = True
        self._eof = False
        self._lost = False
        self._stopping = False
        self.transport: asyncio.Transport

    @property
    def heads(self) -> HeadWriter:
        """Writes the heads of all answers."""
        return self._application.heads

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # asyncio's own signature is too wide
        self.transport = transport
        self._open.add(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client."""
        self._buffer = self._buffer + data if self._buffer else data
        if not self._advancing:
            self._advance()

    def eof_received(self) -> bool:
        """Take the end of what the client sends; True keeps the other direction open."""
        self._eof = True
        if self._exchange is None:
            return False
        if self._framing is not None:
            self._exchange.body.fail(ClientGoneError())
        if self._has_hung_up():
            return False
        # Over TCP nothing tells a half-closed connection from one whose client left. A handler
        # that waits for something must not wait for nobody.
        self._timer = self._loop.call_later(_LINGER, self.transport.abort)
        return True

    def _has_hung_up(self) -> bool:
        """Tell whether a unix socket's client closed both directions."""
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), 0)
        return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))

    def connection_lost(self, error: Exception | None) -> None:
        """Cancel what the client waited for."""
        self._lost = True
        self._open.discard(self)
        self._stop_timer()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        if self._exchange is not None and not self._exchange.hijacked:
            self._exchange.body.fail(ClientGoneError())
            if self._task is not None:
                self._task.cancel()

    def pause_writing(self) -> None:
        """Make `drain` wait: the client reads slower than we write."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let `drain` return."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None
        if self._buffer and not self._advancing:
            self._advance()

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written.

        Raises:
            ClientGoneError: It left.
        """
        if self._writable is not None:
            await self._writable
        if self._lost or self.transport.is_closing():
            raise ClientGoneError

    def stop(self) -> None:
        """Close when the request that is being answered has been answered; at once without one."""
        self._stopping = True
        if self._exchange is None:
            self.transport.close()

    def _advance(self) -> None:
        self._advancing = True
        try:
            while self._step():
                pass
        except BadRequestError as error:
            self._refuse(error)
        finally:
            self._advancing = False
        self.regulate()

    def _step(self) -> bool:
        """Use some of the buffer; tell whether more might be usable."""
        if self._stopping and self._exchange is None:
            return False
        if self._framing is not None:
            return self._take_body(self._framing)
        # A client that does not read its answers gets no further ones.
        if self._exchange is not None or self._writable is not None or not self._buffer:
            return False
        return self._begin()

    def _begin(self) -> bool:
        parts = split_head(self._buffer)
        if len(parts[0] if parts else self._buffer) > HEAD_LIMIT:
            raise BadRequestError("request head too large")
        if parts is None:
            return False
        head = parse_head(parts[0])
        self._buffer = parts[1]
        self._exchange = exchange = Exchange(self, head)
        if head.length == 0:
            exchange.body.complete = True
        else:
            self._framing = ChunkedFraming() if head.length is None else FixedFraming(head.length)
            if self._buffer:
                self._take_body(self._framing)
        coroutine = self._application.handle(exchange)
        if coroutine is not None:
            self._task = self._loop.create_task(self._run(exchange, coroutine))
        return True

    def _take_body(self, framing: Framing) -> bool:
        if self._exchange is None or not self._buffer:
            return False
        body = self._exchange.body
        pieces, self._buffer = framing.feed(self._buffer)
        if not self._exchange.finished:
            for piece in pieces:
                body.feed(piece)
        if not framing.done:
            return False
        self._framing = None
        body.finish()
        if self._exchange.finished:
            self._go_on()
        return True

    async def _run(self, exchange: Exchange, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except ClientGoneError:
            pass
        finally:
            if not exchange.finished and not exchange.hijacked:
                self.transport.abort()

    def _refuse(self, error: BadRequestError) -> None:
        _LOG.debug("refused a malformed request: %s", error)
        if self._exchange is not None and not self._exchange.finished:
            # A broken body under a running handler: the handler fails, and the connection ends with it.
            self._exchange.body.fail(ClientGoneError())
            self.transport.abort()
            return
        self.transport.write(_BAD_REQUEST)
        self.transport.close()

    def exchange_finished(self, exchange: Exchange) -> None:
        """Go on to the next request, or close; called once by the exchange."""
        self._task = None
        if exchange.must_close or self._eof:
            self.transport.close()
        elif self._framing is None:
            self._go_on()
        elif exchange.awaits_continue:
            # The body was never asked for, so nobody knows whether it will come.
            self.transport.close()
        else:
            exchange.body.discard()
            self._timer = self._loop.call_later(_DRAIN, self.transport.close)
        self.regulate()

    def _go_on(self) -> None:
        self._exchange = None
        self._stop_timer()
        if self._stopping:
            self.transport.close()
        elif self._buffer and not self._advancing:
            self._advance()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def regulate(self) -> None:
        """Stop reading while a handler is behind, or the next request is already here; go on afterwards."""
        exchange = self._exchange
        full = (exchange is not None and exchange.body.held > HIGH_WATER) or (
            self._framing is None and len(self._buffer) > HEAD_LIMIT
        )
        if full == self._reading and not self.transport.is_closing():
            self._reading = not full
            if full:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def release(self) -> bytes:
        """Give up the client's stream; return what it sent beyond the request."""
        leftover, self._buffer = self._buffer, b""
        self._stop_timer()
        self._open.discard(self)
        return leftover
