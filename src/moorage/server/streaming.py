"""Send an answer that grows: the head with the first item, each item at once, the end in order.

An error before the first item is still an answer of its own, unless the endpoint keeps its
errors inside. After it, JSON lines end with an error object, as Docker's progress streams do;
bytes just break off, so that nobody takes half an archive for a whole one.
"""

import logging
from collections.abc import AsyncIterable, Callable
from typing import Any, Final, TypeVar

import msgspec

from moorage.api.progress import ErrorDetail, ProgressMessage
from moorage.api.streams import JSON_SEQUENCE_TYPE, ByteStream, JSONLines
from moorage.errors import MoorageError
from moorage.server import errors
from moorage.server.bodies import ClientGoneError
from moorage.server.exchange import Exchange

_LOG: Final = logging.getLogger(__name__)
T = TypeVar("T")
Fail = Callable[[Exchange, Exception], None]


async def send_lines(exchange: Exchange, lines: JSONLines[Any], *, status: int, ending: bytes, fail: Fail) -> None:
    """Send JSON objects, one a line."""
    encoder = msgspec.json.Encoder()

    before = b"\x1e" if lines.content_type == JSON_SEQUENCE_TYPE else b""

    def begin() -> None:
        exchange.start(status=status, content_type=lines.content_type)

    def encode(item: Any) -> bytes:
        return before + encoder.encode(item) + ending

    try:
        await _send(exchange, lines.items, encode, begin=begin, eager=lines.eager)
    except ClientGoneError:
        raise
    except Exception as error:  # noqa: BLE001  # the supervisor of all streams
        if not exchange.started:
            if not lines.errors_inside:
                fail(exchange, error)
                return
            begin()
        _log(exchange, error)
        message = errors.message_for(error)
        await exchange.write(encode(ProgressMessage(error_detail=ErrorDetail(message=message), error=message)))
    exchange.finish()


async def send_bytes(exchange: Exchange, stream: ByteStream, *, status: int, content_type: str, fail: Fail) -> None:
    """Send bytes as they come."""

    def begin() -> None:
        exchange.start(status=status, content_type=content_type, headers=stream.headers)

    try:
        await _send(exchange, stream.chunks, bytes, begin=begin, eager=stream.eager)
    except ClientGoneError:
        raise
    except Exception as error:  # noqa: BLE001  # the supervisor of all streams
        if not exchange.started:
            fail(exchange, error)
            return
        _log(exchange, error)
        exchange.abort()
        return
    exchange.finish()


async def _send(
    exchange: Exchange,
    items: AsyncIterable[T],
    encode: Callable[[T], bytes],
    *,
    begin: Callable[[], None],
    eager: bool,
) -> None:
    if eager and not exchange.started:
        begin()
    try:
        async for item in items:
            if not exchange.started:
                begin()
            await exchange.write(encode(item))
    finally:
        # A generator left in the middle would run its clean-up at some later collection.
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()
    if not exchange.started:
        begin()


def _log(exchange: Exchange, error: Exception) -> None:
    if isinstance(error, MoorageError):
        # Raised on purpose, and the client is told: no fault of this program.
        _LOG.info("a stream broke off: %s %s: %s", exchange.head.method, exchange.head.path, error)
    else:
        _LOG.error("a stream broke off: %s %s", exchange.head.method, exchange.head.path, exc_info=error)
