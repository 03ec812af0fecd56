"""Listening sockets: unix, TCP, and TCP with mutual TLS.

Spec: dockerd(8), "--host" and "--tlsverify"; the unix socket belongs to root and the group
docker, with mode 0660.
"""

import asyncio
import contextlib
import dataclasses
import grp
import os
import socket
import ssl
import stat
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from moorage.errors import ConflictError, InvalidParameterError
from moorage.server.http1 import Application, Connection, Connections
from moorage.server.tls import TLSServerProtocol

_BACKLOG: Final = 1024
_PLAIN_PORT: Final = 2375
_TLS_PORT: Final = 2376


class UnsupportedAddressError(InvalidParameterError):
    """The address to listen on is of a kind unknown here."""

    def __init__(self, address: str) -> None:
        super().__init__(f"cannot listen on {address!r}: use unix:///path or tcp://host:port")


class SocketInUseError(ConflictError):
    """Another daemon answers on the unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"another daemon is listening on {path}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TLSFiles:
    """PEM files of a TLS listener.

    Attributes:
        authority: Whose certificates clients must show; None accepts any client.
    """

    certificate: Path
    key: Path
    authority: Path | None


class Listener:
    """One listening socket and its connections.

    Attributes:
        path: Of a unix socket.
    """

    __slots__ = ("_connections", "_server", "address", "path")

    def __init__(
        self, address: str, server: asyncio.Server, connections: Connections, *, path: Path | None = None
    ) -> None:
        self.address = address
        self.path = path
        self._server = server
        self._connections = connections

    @property
    def port(self) -> int:
        """The TCP port; 0 for unix sockets."""
        name = self._server.sockets[0].getsockname()
        return int(name[1]) if isinstance(name, tuple) else 0

    async def close(self, *, grace: float = 5.0) -> None:
        """Stop accepting, and let requests in progress end for `grace` seconds; hijacked streams live on."""
        if self.path is not None:
            # While it is still ours: as long as we listen, nobody else takes the name.
            self.path.unlink(missing_ok=True)
        self._server.close()
        await self._connections.close(grace=grace)


async def listen(
    address: str, application: Application, *, tls: TLSFiles | None = None, group: str = "docker"
) -> Listener:
    """Listen on unix:///path or tcp://host:port; port 0 takes a free one.

    Args:
        group: Owns a unix socket if it exists.

    Raises:
        UnsupportedAddressError: The address is of another kind.
        SocketInUseError: Somebody answers there.
        OSError: The kernel refuses.
    """
    url = urlsplit(address)
    connections = Connections()

    def connect() -> asyncio.Protocol:
        return Connection(application, connections=connections)

    loop = asyncio.get_running_loop()
    if url.scheme == "unix" and url.path:
        path = Path(url.netloc + url.path)
        bound = _bind_unix(path, group=group)
        server = await loop.create_unix_server(connect, sock=bound, backlog=_BACKLOG)
        return Listener(address, server, connections, path=path)
    if url.scheme != "tcp":
        raise UnsupportedAddressError(address)
    factory = connect
    if tls is not None:
        context = _tls_context(tls)

        def factory() -> asyncio.Protocol:
            return TLSServerProtocol(context, connect())

    port = url.port if url.port is not None else (_TLS_PORT if tls else _PLAIN_PORT)
    tcp_server = await loop.create_server(factory, url.hostname or "127.0.0.1", port, backlog=_BACKLOG)
    return Listener(address, tcp_server, connections)


def _bind_unix(path: Path, *, group: str) -> socket.socket:
    _remove_stale(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Nobody may connect between bind and chmod.
        mask = os.umask(0o177)
        try:
            bound.bind(str(path))
        finally:
            os.umask(mask)
        with contextlib.suppress(KeyError, PermissionError):
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
        path.chmod(0o660)
    except BaseException:
        bound.close()
        raise
    return bound


def _remove_stale(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        else:
            raise SocketInUseError(path)


def _tls_context(files: TLSFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate, files.key)
    if files.authority is not None:
        context.load_verify_locations(files.authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
