"""One request and its answer, as a connection carries them."""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Mapping
from typing import Final, Protocol

from moorage.server.bodies import BodyReader
from moorage.server.heads import RequestHead
from moorage.server.hijack import HijackableConnection, HijackedStream, take_over
from moorage.server.responses import NO_FIELDS, HeadWriter, Response

_NO_CHUNK: Final = b"0\r\n\r\n"


class ExchangeConnection(HijackableConnection, Protocol):
    """The connection that carries an exchange."""

    @property
    def heads(self) -> HeadWriter:
        """Writes the heads of all answers."""
        ...

    def regulate(self) -> None:
        """Stop reading while the exchange's handler is behind; go on afterwards."""

    def exchange_finished(self, exchange: Exchange) -> None:
        """Go on to the next request, or close; called once by the exchange."""


class Exchange:
    """A request, and the means to answer it.

    Attributes:
        body: What the client sends.
        started: The head of the answer has gone out.
        finished: All of the answer has.
        hijacked: The connection carries something else than HTTP now.
        must_close: The connection ends with this answer.
        withholds: A whole answer is kept in `withheld`, for somebody to decide on it; the
            beginning of a stream is not.
    """

    __slots__ = (
        "_chunked", "_connection", "_continued",
        "body", "finished", "head", "hijacked", "must_close", "started", "withheld", "withholds",
    )  # fmt: skip

    def __init__(self, connection: ExchangeConnection, head: RequestHead) -> None:
        self._connection = connection
        self._continued = False
        self._chunked = False
        self.head = head
        self.body = BodyReader(self._body_was_read)
        self.started = False
        self.finished = False
        self.hijacked = False
        self.must_close = not head.keep_alive
        self.withholds = False
        self.withheld: Response | None = None

    @property
    def tls(self) -> ssl.SSLObject | None:
        """What encrypts the connection, and knows the client's certificate."""
        engine: ssl.SSLObject | None = self._connection.transport.get_extra_info("ssl_object")
        return engine

    @property
    def awaits_continue(self) -> bool:
        """The client holds its body back until it is asked for."""
        return self.head.expects_continue and not self._continued

    def _body_was_read(self) -> None:
        if self.awaits_continue and not self.started:
            self._continued = True
            self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._connection.regulate()

    def respond(self, response: Response) -> None:
        """Send a whole answer; after `start`, its body ends the stream."""
        connection = self._connection
        bare = self.head.method == "HEAD"
        if self.started:
            if response.body and not bare:
                connection.transport.write(self._wrap(response.body))
            self.finish()
            return
        if self.withholds:
            self.withheld = response
            return
        self.must_close = self.must_close or self.awaits_continue
        data = connection.heads.fixed(response, close=self.must_close)
        connection.transport.write(data if bare else data + response.body)
        self.started = self.finished = True
        connection.exchange_finished(self)

    def start(self, *, status: int, content_type: str, headers: Mapping[str, str] | None = None) -> None:
        """Send the head of an answer whose length is not known yet."""
        self._chunked = not self.head.http10
        self.must_close = self.must_close or not self._chunked
        self.started = True
        self._connection.transport.write(
            self._connection.heads.streamed(status, content_type, headers or {}, chunked=self._chunked)
        )

    def _wrap(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    async def write(self, data: bytes) -> None:
        """Send a part of the answer, and wait while the client is slow.

        Raises:
            ClientGoneError: Nobody reads any more.
        """
        if data and self.head.method != "HEAD":
            self._connection.transport.write(self._wrap(data))
        await self._connection.drain()

    def finish(self) -> None:
        """End an answer that was started."""
        if self._chunked and self.head.method != "HEAD":
            self._connection.transport.write(_NO_CHUNK)
        self.finished = True
        self._connection.exchange_finished(self)

    def abort(self) -> None:
        """Break the connection: the client must see that the answer is not complete."""
        self.finished = True
        self._connection.transport.abort()

    async def hijack(
        self, *, content_type: str, headers: Mapping[str, str] = NO_FIELDS, answered: bool = True
    ) -> HijackedStream:
        """Answer with the head of a raw stream, and take the client's socket out of the server.

        Args:
            answered: Send the head; else it is left to the receiver of the stream.

        Raises:
            ClientGoneError: The client left.
        """
        connection = self._connection
        head = connection.heads.taken_over(content_type, upgrade=self.head.upgrade, headers=headers)
        self.started = self.hijacked = True
        if answered:
            connection.transport.write(head)
        try:
            stream = await take_over(connection)
            return stream if answered else dataclasses.replace(stream, head=head)
        except BaseException:
            connection.transport.abort()
            raise
