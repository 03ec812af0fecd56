"""Streams: what an endpoint may answer instead of one JSON document, and their framings.

Codecs are sans-IO: bytes in, values out. The result types wrap an asynchronous iterable;
the server writes it out with back-pressure, the client reads it.

Spec: Engine API, POST /containers/{id}/attach, "Stream format".
"""

import enum
import struct
from collections.abc import AsyncIterable, Iterator, Mapping
from typing import ClassVar, Final, Generic, TypeVar

import msgspec

T = TypeVar("T")

JSON_TYPE: Final = "application/json"
JSON_LINES_TYPE: Final = "application/jsonl"
NDJSON_TYPE: Final = "application/x-ndjson"
#: Each document after a record separator. Spec: RFC 7464.
JSON_SEQUENCE_TYPE: Final = "application/json-seq"
MULTIPLEXED_TYPE: Final = "application/vnd.docker.multiplexed-stream"
RAW_TYPE: Final = "application/vnd.docker.raw-stream"

_HEADER: Final = struct.Struct(">BxxxI")


class StreamID(enum.IntEnum):
    """Which stream a frame belongs to; SYSTEM_ERROR carries the daemon's own words."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    SYSTEM_ERROR = 3


class BadFrameError(ValueError):
    """The bytes are not a multiplexed stream."""


def frame(stream: int, payload: bytes) -> bytes:
    """Return one whole frame."""
    return _HEADER.pack(stream, len(payload)) + payload


class FrameReader:
    """Splits a multiplexed stream into frames, however the bytes were cut on the way."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[StreamID, bytes]]:
        """Take more bytes; yield the frames they complete.

        Raises:
            BadFrameError: The stream's number is unknown.
        """
        self._buffer += data
        position = 0
        try:
            while len(self._buffer) - position >= _HEADER.size:
                stream, length = _HEADER.unpack_from(self._buffer, position)
                if stream > StreamID.SYSTEM_ERROR:
                    raise BadFrameError(f"unrecognized stream: {stream}")
                end = position + _HEADER.size + length
                if len(self._buffer) < end:
                    return
                payload = bytes(self._buffer[position + _HEADER.size : end])
                position = end
                yield StreamID(stream), payload
        finally:
            del self._buffer[:position]

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._buffer)


class LineReader(Generic[T]):
    """Splits JSON lines into values of one type; blank lines are skipped."""

    __slots__ = ("_buffer", "_decoder")

    def __init__(self, item: type[T]) -> None:
        self._buffer = b""
        self._decoder = msgspec.json.Decoder(item)

    def feed(self, data: bytes) -> Iterator[T]:
        """Take more bytes; yield the values of the lines they complete."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            if line.strip():
                yield self._decoder.decode(line)

    def finish(self) -> Iterator[T]:
        """Yield the value of a last line that has no newline."""
        rest, self._buffer = self._buffer, b""
        if rest.strip():
            yield self._decoder.decode(rest)


class JSONLines(Generic[T]):
    """JSON objects, one a line, each sent as soon as it is there.

    Attributes:
        eager: Answer before the first item is there. Otherwise an error raised before the
            first item still becomes the answer's status, as a failed pull's does.
        errors_inside: Such an early error is the only item, of a successful answer.
        content_type: What the answer says it is.
    """

    __slots__ = ("content_type", "eager", "errors_inside", "items")

    def __init__(
        self,
        items: AsyncIterable[T],
        *,
        eager: bool = False,
        errors_inside: bool = False,
        content_type: str = JSON_TYPE,
    ) -> None:
        self.items = items
        self.eager = eager
        self.errors_inside = errors_inside
        self.content_type = content_type


class ByteStream:
    """Bytes that are sent as they come.

    Attributes:
        headers: Added to the answer's own.
        eager: As for `JSONLines`.
    """

    __slots__ = ("chunks", "eager", "headers")

    content_type: ClassVar[str] = RAW_TYPE

    def __init__(
        self, chunks: AsyncIterable[bytes], *, headers: Mapping[str, str] | None = None, eager: bool = False
    ) -> None:
        self.chunks = chunks
        self.headers = headers or {}
        self.eager = eager


class RawStream(ByteStream):
    """The output of a terminal: one stream without framing."""

    __slots__ = ()


class MultiplexedStream(ByteStream):
    """Standard output and error in frames of eight bytes of header and a payload; chunks are any whole frames."""

    __slots__ = ()

    content_type = MULTIPLEXED_TYPE


class JSONLinesBytes(ByteStream):
    """Objects that are encoded already, one a line."""

    __slots__ = ()

    content_type = JSON_LINES_TYPE


class NDJSONBytes(JSONLinesBytes):
    """The same by its other name."""

    __slots__ = ()

    content_type = NDJSON_TYPE


class JSONSequenceBytes(ByteStream):
    """Objects that are encoded already, each between a record separator and a newline."""

    __slots__ = ()

    content_type = JSON_SEQUENCE_TYPE


class TarStream(ByteStream):
    """A tar archive."""

    __slots__ = ()

    content_type = "application/x-tar"


class Hijack:
    """The connection was taken over; there is no answer beyond it."""
