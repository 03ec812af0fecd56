"""TLS towards a log server, without a socket.

On the interpreter's own `_ssl`: the module above it makes a hundred enumerations, which would
be in memory beside every container.
"""

from __future__ import annotations

import _ssl
import contextlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class TlsError(OSError):
    """The two sides do not come to terms, or a file for it cannot be used."""


class Encryption:
    """One connection's encryption, as bytes in and bytes out.

    Args:
        host: Whose certificate the server must show.
        settings: `ca`, `cert` and `key`: files, empty for none; `skip_verify`.

    Raises:
        TlsError: A file cannot be used.
    """

    __slots__ = ("_incoming", "_outgoing", "_tls")

    def __init__(self, host: str, settings: Mapping[str, Any]) -> None:
        context = _ssl._SSLContext(_ssl.PROTOCOL_TLS_CLIENT)  # noqa: SLF001 - see above
        if settings.get("skip_verify"):
            context.check_hostname = False
            context.verify_mode = _ssl.CERT_NONE
        try:
            _load(context, settings)
        except OSError as error:
            raise TlsError(f"tls: cannot load {error.filename or 'the certificates'}: {error.strerror}") from error
        self._incoming, self._outgoing = _ssl.MemoryBIO(), _ssl.MemoryBIO()
        self._tls = context._wrap_bio(self._incoming, self._outgoing, False, host)  # type: ignore[attr-defined]  # noqa: SLF001, FBT003

    def shake_hands(self) -> bool:
        """Go on with the handshake as far as possible; tell whether it is over.

        Raises:
            TlsError: The two sides do not come to terms.
        """
        try:
            self._tls.do_handshake()
        except _ssl.SSLWantReadError:
            return False
        except _ssl.SSLError as error:
            raise TlsError(_text(error)) from error
        return True

    def encrypt(self, data: bytes) -> bytes:
        """Return what to send for data."""
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view) :]
        return self.outgoing()

    def decrypt(self, data: bytes) -> bytes:
        """Return the data in what was received; nothing if there is none yet."""
        self.incoming(data)
        try:
            return bytes(self._tls.read(4096))
        except _ssl.SSLWantReadError:
            return b""
        except _ssl.SSLError as error:
            raise TlsError(_text(error)) from error

    def farewell(self) -> bytes:
        """Return what tells the server that nothing follows."""
        with contextlib.suppress(OSError):
            # It would wait for the server's own farewell, which we do not.
            self._tls.shutdown()
        return self.outgoing()

    def incoming(self, data: bytes) -> None:
        """Take what was received; nothing is the end."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def outgoing(self) -> bytes:
        """Return what is to be sent."""
        return bytes(self._outgoing.read())


def _load(context: Any, settings: Mapping[str, Any]) -> None:
    if settings.get("ca"):
        context.load_verify_locations(settings["ca"], None, None)
    elif not settings.get("skip_verify"):
        context.set_default_verify_paths()
    if settings.get("cert"):
        context.load_cert_chain(settings["cert"], settings.get("key") or None)


def _text(error: Any) -> str:
    if message := getattr(error, "verify_message", ""):
        return f"tls: failed to verify certificate: x509: {message}"
    return f"tls: {getattr(error, 'reason', None) or error}"
