"""Answers: a value for what a handler prepares by itself, and the bytes of a response head.

Spec: Engine API notes, "Headers"; RFC 9112, "Status Line".
"""

import dataclasses
import http
import time
import types
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from moorage.api.system import ErrorResponse
from moorage.api.versions import MAXIMUM

NO_FIELDS: Final[Mapping[str, str]] = types.MappingProxyType({})
_ENCODER: Final = msgspec.json.Encoder()
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus
}
JSON_TYPE: Final = "application/json"
TEXT_TYPE: Final = "text/plain; charset=utf-8"


def encode_json(value: Any) -> bytes:
    """Return the document as Go's encoder writes it: with a newline behind."""
    return _ENCODER.encode(value) + b"\n"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer that a handler has prepared to the last byte."""

    status: int = 200
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    _fields: list[bytes] = dataclasses.field(default_factory=list, init=False, repr=False, compare=False)

    def fields(self) -> bytes:
        """Return the header fields that do not depend on the moment; made once, since a Response may be reused."""
        if not self._fields:
            content = f"Content-Type: {self.content_type}\r\n".encode() if self.content_type else b""
            length = b"" if self.status in {204, 304} else b"Content-Length: %d\r\n" % len(self.body)
            self._fields.append(format_fields(self.headers) + content + length)
        return self._fields[0]


def json_response(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Prepare a JSON answer."""
    return Response(status=status, body=encode_json(value), content_type=JSON_TYPE, headers=headers or {})


def error_response(status: int, message: str) -> Response:
    """Prepare an error's answer; 304 has no body by the rules of HTTP."""
    if status == http.HTTPStatus.NOT_MODIFIED:
        return Response(status=status)
    return json_response(ErrorResponse(message=message), status=status)


class HeadWriter:
    """Writes response heads; what every answer repeats is made once.

    Args:
        product: Name and version for the Server field, such as Docker/28.2.2: clients look
            for that name.
    """

    __slots__ = ("_date", "_date_second", "_identity")

    def __init__(self, *, product: str, experimental: bool = False) -> None:
        self._identity = (
            f"Api-Version: {MAXIMUM}\r\n"
            f"Docker-Experimental: {'true' if experimental else 'false'}\r\n"
            "Ostype: linux\r\n"
            f"Server: {product} (linux)\r\n"
        ).encode()
        self._date_second = -1
        self._date = b""

    def identity(self) -> bytes:
        """Return the fields that every answer has, and the date."""
        now = int(time.time())
        if now != self._date_second:
            self._date_second = now
            date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now))
            self._date = self._identity + f"Date: {date}\r\n".encode()
        return self._date

    def fixed(self, response: Response, *, close: bool) -> bytes:
        """Return the head of an answer whose body is known."""
        ending = b"Connection: close\r\n\r\n" if close else b"\r\n"
        return _STATUS_LINES[response.status] + self.identity() + response.fields() + ending

    def streamed(self, status: int, content_type: str, headers: Mapping[str, str], *, chunked: bool) -> bytes:
        """Return the head of an answer that ends when it ends: in chunks, else with the connection."""
        ending = b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Connection: close\r\n\r\n"
        content = f"Content-Type: {content_type}\r\n".encode() if content_type else b""
        return b"".join([_STATUS_LINES[status], self.identity(), format_fields(headers), content, ending])

    def taken_over(self, content_type: str, *, upgrade: str, headers: Mapping[str, str] = NO_FIELDS) -> bytes:
        """Return the head after which the connection carries something else than HTTP."""
        if upgrade.lower() == "websocket":
            line = b"HTTP/1.1 101 Switching Protocols\r\n"
            fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        elif upgrade:
            # Whatever else the client called it, there is one protocol to switch to.
            line = b"HTTP/1.1 101 UPGRADED\r\n"
            fields = "Connection: Upgrade\r\nUpgrade: tcp\r\n"
        else:
            line = b"HTTP/1.1 200 OK\r\n"
            fields = ""
        if content_type:
            fields = f"Content-Type: {content_type}\r\n{fields}"
        return line + fields.encode() + format_fields(headers) + self.identity() + b"\r\n"


def format_fields(headers: Mapping[str, str]) -> bytes:
    """Return header fields as bytes."""
    # A value from outside must not be able to end the head.
    clean = ((name, value.replace("\r", " ").replace("\n", " ")) for name, value in headers.items())
    return "".join(f"{name}: {value}\r\n" for name, value in clean).encode("utf-8", "surrogateescape")
