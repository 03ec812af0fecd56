"""A blocking connection to an engine: the transport of `moorage.connect()` and of ``moor``."""

import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar

from moorage.api import endpoints
from moorage.api.versions import Version
from moorage.client.address import Address, TLSFiles
from moorage.client.calls import Call, agreed_version, call, decode
from moorage.client.errors import EncryptionError, EngineUnreachableError, error_for
from moorage.client.http1 import BadResponseError, Head, ResponseReader, chunk, encode_request
from moorage.client.ssh import dial

if TYPE_CHECKING:
    import ssl

ResultT = TypeVar("ResultT")

_READ_SIZE: Final = 256 * 1024


class Exchange:
    """One request that was sent, and its answer as it comes.

    The exchange owns its socket: close it, or use it in a ``with``.

    Attributes:
        socket: After an upgrade, the raw stream; `leftover` was read from it already.
    """

    def __init__(self, sock: socket.socket, *, bodiless: bool = False) -> None:
        self.socket = sock
        self._reader = ResponseReader(bodiless=bodiless)
        self._early: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def leftover(self) -> bytes:
        """Bytes of the raw stream that came together with the head."""
        return self._reader.leftover

    def head(self) -> Head:
        """Wait for the answer's head.

        Raises:
            BadResponseError: What answered does not speak HTTP.
        """
        while self._reader.head is None:
            self._early += self._receive()
        return self._reader.head

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it comes.

        Raises:
            BadResponseError: It was cut.
        """
        self.head()
        while True:
            pieces, self._early = self._early, []
            yield from pieces
            if self._reader.complete:
                return
            self._early = self._receive()

    def body(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.chunks())

    def checked(self) -> Self:
        """Wait for the head and return the exchange if the engine agreed.

        Raises:
            MoorageError: It refused; the kind says why.
        """
        if self.head().status >= 400:
            with self:
                raise error_for(self.head().status, self.body())
        return self

    def _receive(self) -> list[bytes]:
        try:
            data = self.socket.recv(_READ_SIZE)
        except ConnectionError as error:
            raise BadResponseError("the engine broke the connection off") from error
        if not data:
            self._reader.finish()
            return []
        return self._reader.feed(data)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


class Connection:
    """Sends calls to one engine, in a version that both speak.

    Every call has a socket of its own: on a unix socket that costs some microseconds, and
    a call may be a stream that goes on while others are made.

    Args:
        pinned: The version that calls are made for, whatever the engine speaks.
    """

    def __init__(self, address: Address, *, pinned: Version | None = None) -> None:
        self.address = address
        self._pinned = pinned
        self._version: Version | None = None

    def perform(self, request: Call[ResultT]) -> ResultT:
        """Make a call and return its result.

        Raises:
            EngineUnreachableError: Nothing answers there.
            MoorageError: The engine refused; the kind says why.
        """
        with self.begin(request) as exchange:
            return decode(request, status=exchange.head().status, body=exchange.body())

    def begin(
        self,
        request: Call[ResultT],
        *,
        body: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Exchange:
        """Send a call and return the exchange; for streams, uploads and upgrades.

        Args:
            body: A body of unknown length, sent chunked.
            headers: Added to the call's own, for example ``Upgrade: tcp``.

        Raises:
            EngineUnreachableError: Nothing answers there.
        """
        return self._send(request, self.version(), body=body, headers=headers)

    def version(self) -> Version:
        """Return the API version that calls are made for: the newest that both sides speak.

        Raises:
            EngineUnreachableError: Nothing answers there.
        """
        if self._version is None:
            with self._send(call(endpoints.SYSTEM_PING_HEAD), None, body=None, headers=None) as exchange:
                agreed = agreed_version(exchange.head())
            self._version = self._pinned or agreed
        return self._version

    def _send(
        self,
        request: Call[ResultT],
        version: Version | None,
        *,
        body: Iterable[bytes] | None,
        headers: Mapping[str, str] | None,
    ) -> Exchange:
        fields = {**request.headers, **(headers or {})}
        if body is not None:
            fields["Transfer-Encoding"] = "chunked"
        head = encode_request(
            request.method,
            request.versioned(version),
            authority=self.address.authority,
            headers=fields,
            body=request.body,
        )
        sock = open_socket(self.address)
        try:
            sock.sendall(head)
            if body is not None:
                self._upload(sock, body)
        except BaseException:
            sock.close()
            raise
        return Exchange(sock, bodiless=request.method == "HEAD")

    @staticmethod
    def _upload(sock: socket.socket, body: Iterable[bytes]) -> None:
        # An engine that refuses an upload answers and closes; the answer says why, so a
        # broken pipe is no error yet.
        with suppress(BrokenPipeError, ConnectionResetError):
            for data in body:
                if data:
                    sock.sendall(chunk(data))
            sock.sendall(chunk(b""))


def open_socket(address: Address) -> socket.socket:
    """Connect to an engine.

    Raises:
        EngineUnreachableError: Nothing answers there.
        EncryptionError: The certificates are missing, or do not fit.
    """
    if address.ssh is not None:
        return dial(address.ssh)
    try:
        plain = _connected(address)
    except OSError as error:
        raise EngineUnreachableError(address.text) from error
    if address.tls is None:
        return plain
    try:
        return tls_context(address.tls).wrap_socket(plain, server_hostname=address.host)
    except OSError as error:
        plain.close()
        raise EncryptionError(address.text, error) from error


def _connected(address: Address) -> socket.socket:
    if not address.path:
        sock = socket.create_connection((address.host, address.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(address.path)
    except OSError:
        sock.close()
        raise
    return sock


def tls_context(files: TLSFiles) -> "ssl.SSLContext":
    """Return the context of a client that shows these certificates."""
    # A seventh of the time that `moor ps` takes, for what most connections don't use.
    import ssl  # noqa: PLC0415

    context = ssl.create_default_context(cafile=str(files.ca) if files.ca else None)
    # As for registries: from Python 3.13 on, authorities that Docker takes would be refused.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not files.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if files.cert is not None:
        context.load_cert_chain(files.cert, files.key)
    return context
