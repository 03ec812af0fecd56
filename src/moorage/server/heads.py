"""Request heads: the request line and the header fields of HTTP/1, as a value.

Pure: bytes in, a value out. The parser behind it is llhttp through httptools, which refuses
what smugglers rely on (two lengths, a length beside chunks, spaces before colons).

Spec: RFC 9112, "Message Format".
"""

import dataclasses
import functools
import urllib.parse
from collections.abc import Mapping
from typing import Final

import httptools

HEAD_LIMIT: Final = 64 * 1024
_CACHED_HEAD_LIMIT: Final = 512


class BadRequestError(Exception):
    """The bytes are no HTTP request; the connection cannot be used any further."""


@dataclasses.dataclass(frozen=True, slots=True)
class RequestHead:
    """One request's head.

    Attributes:
        path: Percent-decoded, without the query.
        headers: Names in lower case; repeated fields are joined with commas.
        length: Bytes of body; None when it comes in chunks.
        upgrade: The protocol that the client wants to switch to, or "".
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    http10: bool
    keep_alive: bool
    length: int | None
    upgrade: str
    expects_continue: bool


class _Collector:
    """What llhttp calls while it reads a head."""

    __slots__ = ("headers", "target")

    def __init__(self) -> None:
        self.target = b""
        self.headers: dict[str, str] = {}

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        known = self.headers.get(key)
        self.headers[key] = text if known is None else f"{known}, {text}"


def _parse(head: bytes) -> RequestHead:
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        # Raised after the head of every request that asks for another protocol.
        pass
    except httptools.HttpParserError as error:
        raise BadRequestError(str(error)) from None
    path, query = _split(collector.target)
    headers = collector.headers
    http10 = parser.get_http_version() == "1.0"
    options = {option.strip() for option in headers.get("connection", "").lower().split(",")}
    return RequestHead(
        method=parser.get_method().decode("latin-1"),
        path=path,
        query=query,
        headers=headers,
        http10=http10,
        # llhttp's own answer is wrong once a message is complete.
        keep_alive="keep-alive" in options if http10 else "close" not in options,
        length=_length(headers),
        # As Docker, which does not look whether the connection's options name it: some clients leave them out.
        upgrade=headers.get("upgrade", ""),
        expects_continue=headers.get("expect", "").lower() == "100-continue",
    )


def _split(target: bytes) -> tuple[str, str]:
    if not target.startswith(b"/"):
        # The absolute form, which proxies use; or "*" of OPTIONS.
        try:
            url = httptools.parse_url(target)
        except httptools.HttpParserInvalidURLError as error:
            raise BadRequestError(str(error)) from None
        target = (url.path or b"/") + (b"?" + url.query if url.query else b"")
    raw_path, _, query = target.partition(b"?")
    path = raw_path.decode("latin-1")
    return (urllib.parse.unquote(path) if "%" in path else path), query.decode("latin-1")


def _length(headers: Mapping[str, str]) -> int | None:
    coding = headers.get("transfer-encoding")
    if coding is None:
        # llhttp has checked that it is one number.
        return int(headers.get("content-length", "0"))
    if coding.strip().lower() != "chunked":
        raise BadRequestError(f"unsupported transfer encoding: {coding}")
    return None


_parse_cached = functools.lru_cache(maxsize=128)(_parse)


def split_head(data: bytes) -> tuple[bytes, bytes] | None:
    """Return a head, with its blank line, and what follows it; None if its end has not come yet.

    Lines typed by hand may end without a carriage return, as with Go's server.
    """
    end = data.find(b"\r\n\r\n")
    bare = data.find(b"\n\n", 0, end if end >= 0 else len(data))
    if bare >= 0:
        return data[: bare + 2].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), data[bare + 2 :]
    return (data[: end + 4], data[end + 4 :]) if end >= 0 else None


def parse_head(head: bytes) -> RequestHead:
    """Parse a head, up to and including its blank line.

    Raises:
        BadRequestError: It breaks the grammar.
    """
    # Clients repeat themselves: polling sends the same bytes again and again. Credentials are
    # not kept in memory for that.
    if len(head) <= _CACHED_HEAD_LIMIT and b"uth" not in head:
        return _parse_cached(head)
    return _parse(head)
