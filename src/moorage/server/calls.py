"""What a handler is given: one request, decoded by its endpoint's types."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Generic, TypeVar

from moorage.api.query import Query
from moorage.api.streams import MULTIPLEXED_TYPE, RAW_TYPE
from moorage.api.versions import Version
from moorage.server import websocket
from moorage.server.bodies import BodyReader
from moorage.server.exchange import Exchange
from moorage.server.hijack import HijackedStream
from moorage.server.responses import JSON_TYPE

QueryT = TypeVar("QueryT", bound=Query)
BodyT = TypeVar("BodyT")

#: The first version whose Content-Type tells a multiplexed stream from a raw one.
_TELLS_STREAMS_APART = Version(1, 42)


@dataclasses.dataclass(slots=True, kw_only=True)
class Call(Generic[QueryT, BodyT]):
    """One request to one endpoint.

    Attributes:
        path: The values of the template's parameters.
        version: The version the client speaks.
        headers: The request's, names in lower case.
    """

    query: QueryT
    body: BodyT
    path: Mapping[str, str]
    version: Version
    headers: Mapping[str, str]
    exchange: Exchange

    @property
    def stream(self) -> BodyReader:
        """The body of an endpoint that takes bytes: `async for chunk in call.stream`."""
        return self.exchange.body

    @property
    def upgrade(self) -> str:
        """The protocol the client asked to switch to, or ""."""
        return self.exchange.head.upgrade

    def send_headers(self, *, status: int = 200, content_type: str = JSON_TYPE) -> None:
        """Answer now, and give the body later: the handler's result, or its error's text.

        A client of wait starts its container only after this.
        """
        self.exchange.start(status=status, content_type=content_type)

    async def hijack(self, *, multiplexed: bool = False, answered: bool = True) -> HijackedStream:
        """Take over the client's connection: afterwards the stream is the handler's, and so is its closing.

        Raise errors before this: there is no answer to put them in after it.

        Args:
            multiplexed: The stream will have frames (no terminal).
            answered: Send the answer's head now; else the stream's `head` is the handler's to send.

        Raises:
            ClientGoneError: The client left.
        """
        known = multiplexed and self.upgrade and self.version >= _TELLS_STREAMS_APART
        return await self.exchange.hijack(content_type=MULTIPLEXED_TYPE if known else RAW_TYPE, answered=answered)

    async def hijack_websocket(self) -> HijackedStream:
        """Take over a WebSocket client's connection; the stream carries what is in its messages.

        Raises:
            HandshakeError: The client did not ask for a WebSocket.
            ClientGoneError: The client left.
        """
        fields = websocket.accept(self.headers, upgrade=self.upgrade)
        return websocket.as_stream(await self.exchange.hijack(content_type="", headers=fields))
