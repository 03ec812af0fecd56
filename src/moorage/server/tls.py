"""TLS between a socket and a protocol, with half-close.

asyncio's own TLS ends both directions when the client ends one, so the output of a container
whose standard input has ended would be lost. Here the engine is OpenSSL over memory buffers:
bytes from the socket go in, plain bytes come out, and each direction ends by itself.

Spec: RFC 8446, "Closure Alerts": an alert closes the write side only.
"""

# (typing.override is newer than Python 3.11, and asyncio's protocols are all overrides.)

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from typing import Any, Final

_LOG: Final = logging.getLogger(__name__)
_READ_SIZE: Final = 256 * 1024
#: Seconds a client has for the handshake.
_HANDSHAKE_TIMEOUT: Final = 30.0


class TLSServerProtocol(asyncio.Protocol):
    """Speaks TLS with a client, and plain bytes with the protocol inside."""

    def __init__(self, context: ssl.SSLContext, inner: asyncio.Protocol) -> None:
        self.inner = inner
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.engine = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.raw: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._connected = False
        self._read_ended = False
        self._write_ended = False
        #: The protocol inside wants no bytes now.
        self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self.raw = transport  # type: ignore[assignment]  # asyncio's own signature is too wide
        self._timer = asyncio.get_running_loop().call_later(_HANDSHAKE_TIMEOUT, self.raw.abort)

    def data_received(self, data: bytes) -> None:
        """Take encrypted bytes."""
        self._incoming.write(data)
        self.pump()

    def eof_received(self) -> bool:
        """Take the end of the client's bytes; without an alert before it, they may have been cut."""
        self._incoming.write_eof()
        self.pump()
        return self._connected and not self._write_ended

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the protocol inside."""
        if self._timer is not None:
            self._timer.cancel()
        if self._connected:
            self._connected = False
            self.inner.connection_lost(error)

    def pause_writing(self) -> None:
        """Pass on that the client is slow."""
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the client caught up."""
        self.inner.resume_writing()

    def pump(self) -> None:
        """Move everything that can be moved."""
        try:
            if not self._connected:
                self._shake_hands()
            if self._connected:
                self._deliver()
        except ssl.SSLError as error:
            _LOG.info("a TLS client failed: %s", error)
            # The alert that says why is in the buffer.
            self._flush()
            self.raw.close()
            return
        self._flush()

    def _shake_hands(self) -> None:
        try:
            self.engine.do_handshake()
        except ssl.SSLWantReadError:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._connected = True
        self.inner.connection_made(TLSTransport(self))

    def _deliver(self) -> None:
        while not self.paused and not self._read_ended:
            try:
                data = self.engine.read(_READ_SIZE)
            except ssl.SSLWantReadError:
                return
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                data = b""
            if data:
                self.inner.data_received(data)
                continue
            self._read_ended = True
            if not self.inner.eof_received():
                self.close()

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self.raw.write(data)

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        if data and not self._write_ended and not self.raw.is_closing():
            self.engine.write(data)
            self._flush()

    def end_writing(self) -> None:
        """Send the closing alert; the client's direction stays open."""
        if self._write_ended:
            return
        self._write_ended = True
        # It complains that the client's own alert is missing, which may come much later or never.
        with contextlib.suppress(ssl.SSLError):
            self.engine.unwrap()
        self._flush()

    def close(self) -> None:
        """Send the closing alert and close after it."""
        self.end_writing()
        self.raw.close()


class TLSTransport(asyncio.Transport):
    """What the protocol inside sees of its connection."""

    def __init__(self, outer: TLSServerProtocol) -> None:
        super().__init__()
        self._outer = outer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return a fact about the connection; `ssl_object` tells that there is TLS."""
        if name == "ssl_object":
            return self._outer.engine
        return self._outer.raw.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give the plain bytes to another protocol from now on."""
        assert isinstance(protocol, asyncio.Protocol)  # noqa: S101  # asyncio's own signature is too wide
        self._outer.inner = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who gets the plain bytes."""
        return self._outer.inner

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes."""
        self._outer.write(bytes(data))

    def write_eof(self) -> None:
        """End this direction."""
        self._outer.end_writing()

    def can_write_eof(self) -> bool:
        """Tell that one direction can end by itself."""
        return True

    def pause_reading(self) -> None:
        """Hold bytes back."""
        self._outer.paused = True
        self._outer.raw.pause_reading()

    def resume_reading(self) -> None:
        """Deliver what was held back, and go on."""
        self._outer.paused = False
        self._outer.raw.resume_reading()
        # Not from inside the caller: it is about to return to its own work.
        asyncio.get_running_loop().call_soon(self._outer.pump)

    def is_reading(self) -> bool:
        """Tell whether bytes are delivered."""
        return not self._outer.paused

    def get_write_buffer_size(self) -> int:
        """Return the bytes not yet in the kernel."""
        return self._outer.raw.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set when writing pauses."""
        self._outer.raw.set_write_buffer_limits(high=high, low=low)

    def is_closing(self) -> bool:
        """Tell whether the end has begun."""
        return self._outer.raw.is_closing()

    def close(self) -> None:
        """Close after all that was written."""
        self._outer.close()

    def abort(self) -> None:
        """Close at once."""
        self._outer.raw.abort()
