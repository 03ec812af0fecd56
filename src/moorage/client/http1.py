"""HTTP/1.1 as a client speaks it: bytes in, values out.

Sans-IO: the blocking and the asynchronous connection share this module.

Spec: RFC 9112; Engine API, "Hijacking".
"""

from collections.abc import Mapping
from dataclasses import dataclass

import httptools

from moorage.errors import UnavailableError


class BadResponseError(UnavailableError):
    """What answers is no engine, or ceases to answer: it does not speak HTTP to the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The status line and the headers of an answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]

    @property
    def upgraded(self) -> bool:
        """Whether the connection is a raw stream from here on."""
        return self.status == 101


def encode_request(
    method: str, target: str, *, authority: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> bytes:
    """Return a request's head, and its body if that is known; a chunked body follows by `chunk`."""
    lines = {"Host": authority, "User-Agent": "moorage", **(headers or {})}
    if body is not None:
        lines["Content-Length"] = str(len(body))
    elif method in {"POST", "PUT"} and "Transfer-Encoding" not in lines:
        lines["Content-Length"] = "0"
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return head.encode("latin-1") + b"\r\n" + (body or b"")


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body; empty data ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class ResponseReader:
    """Takes the bytes of one answer as they come.

    Attributes:
        head: None until it is complete.
        complete: The whole answer was read.
        leftover: Bytes behind an upgraded head, which belong to the raw stream.
    """

    __slots__ = ("_bodiless", "_chunks", "_headers", "_parser", "complete", "head", "leftover")

    def __init__(self, *, bodiless: bool = False) -> None:
        """Make a reader of one answer.

        Args:
            bodiless: The request was a HEAD: a length in the answer announces no body.
        """
        self._bodiless = bodiless
        self.head: Head | None = None
        self.complete = False
        self.leftover = b""
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> list[bytes]:
        """Take more bytes; return the pieces of the body in them.

        Raises:
            BadResponseError: The bytes are no HTTP answer.
        """
        self._chunks = []
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.leftover = data[upgrade.args[0] :]
            self.complete = True
        except httptools.HttpParserError as error:
            raise BadResponseError(f"malformed HTTP response: {error}") from None
        return self._chunks

    def finish(self) -> None:
        """The peer closed; that ends a body without a length.

        Raises:
            BadResponseError: The head never came, or the body was cut.
        """
        if self.head is None:
            raise BadResponseError("the engine closed the connection before it answered")
        if not self.complete and ("content-length" in self.head.headers or self._is_chunked()):
            raise BadResponseError("unexpected EOF")
        self.complete = True

    def _is_chunked(self) -> bool:
        return self.head is not None and "chunked" in self.head.headers.get("transfer-encoding", "")

    # The names below are httptools' own.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Take the end of the head; an interim 1xx answer other than 101 is passed over."""
        status = self._parser.get_status_code()
        if status != 101 and 100 <= status < 200:
            self._headers = {}
            return
        self.head = Head(status=status, headers=self._headers)
        self.complete = self._bodiless

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        """Take the end of the answer."""
        self.complete = self.head is not None
