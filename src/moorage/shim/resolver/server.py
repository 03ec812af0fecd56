"""The name server of one container: what is answered, and by whom."""

from __future__ import annotations

import contextlib
import os
import socket

from moorage.shim.loop import READ
from moorage.shim.resolver import message
from moorage.shim.resolver.exchange import Exchange
from moorage.shim.resolver.sockets import DATAGRAMS, NAMESPACE, STREAMS, entered
from moorage.shim.resolver.stream import StreamClient
from moorage.shim.resolver.zones import Directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    from moorage.shim.loop import Loop

_TTL: Final = 600
"""Seconds; Docker's number. Clients that keep answers live with stopped containers."""
_LARGEST: Final = 65535
_MAX_QUESTIONS: Final = 1024
"""On their way at once; beyond it a question is refused, as in Docker."""
_MAX_CONNECTIONS: Final = 64


class Resolver:
    """Answers on the sockets that `sockets.open_if_wanted` made.

    Args:
        path: Of the resolver file.
        descriptors: The sockets and the container's network namespace, by role; owned
            from now on.
    """

    __slots__ = ("_clients", "_datagrams", "_directory", "_exchanges", "_listener", "_loop", "_namespace_fd")

    def __init__(self, loop: Loop, path: str, descriptors: Mapping[str, int]) -> None:
        self._loop = loop
        self._directory = Directory(path)
        self._namespace_fd = descriptors[NAMESPACE]
        self._datagrams = socket.socket(fileno=descriptors[DATAGRAMS])
        self._listener = socket.socket(fileno=descriptors[STREAMS])
        self._exchanges: set[Exchange] = set()
        self._clients: set[StreamClient] = set()
        for one, handler in ((self._datagrams, self._datagram), (self._listener, self._accept)):
            one.settimeout(0)
            loop.watch(one.fileno(), READ, handler)

    def descriptors(self) -> dict[str, int]:
        """Return what another process needs to go on."""
        return {
            DATAGRAMS: self._datagrams.fileno(),
            STREAMS: self._listener.fileno(),
            NAMESPACE: self._namespace_fd,
        }

    @property
    def is_busy(self) -> bool:
        """Tell whether a question is on its way or a client connected."""
        return bool(self._exchanges or self._clients)

    def close(self) -> None:
        """Stop answering, and let go of the namespace; harmless if that is done."""
        for exchange in tuple(self._exchanges):
            exchange.cancel()
        self._exchanges.clear()
        for client in tuple(self._clients):
            client.close()
        for one in (self._datagrams, self._listener):
            if one.fileno() >= 0:
                self._loop.forget(one.fileno())
                one.close()
        if self._namespace_fd >= 0:
            os.close(self._namespace_fd)
            self._namespace_fd = -1

    def answer(self, question: bytes, *, stream: bool, reply: Callable[[bytes], None]) -> None:
        """Answer one message, now or later; a message that is no question is dropped."""
        query = message.read_query(question)
        if query is None:
            return
        own = self._own_answer(query, stream=stream)
        if own is not None:
            reply(own)
            return
        servers = self._directory.upstream()
        if not servers or len(self._exchanges) >= _MAX_QUESTIONS:
            reply(message.failure(query, message.SERVER_FAILURE if not servers else message.REFUSED))
            return

        def done(answer: bytes | None) -> None:
            self._exchanges.discard(exchange)
            reply(answer or message.failure(query, message.SERVER_FAILURE))

        exchange = Exchange(self._loop, servers, question, stream=stream, open_socket=self._open_socket, done=done)
        self._exchanges.add(exchange)
        exchange.start()

    def _own_answer(self, query: message.Query, *, stream: bool) -> bytes | None:
        if query.kind == message.PTR:
            address = message.address_of_pointer(query.name)
            owner = self._directory.owner(address) if address else None
            try:
                return message.pointer(query, owner, ttl=_TTL) if owner else None
            except ValueError:
                return None  # a container may have a name that no DNS message can hold
        found = self._directory.lookup(query.name)
        if found is None:
            return None
        # Several holders of a name share the load.
        found.sort(key=lambda _address: os.urandom(4))
        return message.addresses(query, found, ttl=_TTL, stream=stream)

    def _datagram(self, _events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            question, client = self._datagrams.recvfrom(_LARGEST)
            self.answer(question, stream=False, reply=lambda answer: self._send(answer, client))

    def _send(self, answer: bytes, client: tuple[str, int]) -> None:
        # The resolver may be closed by now, or the client's socket.
        with contextlib.suppress(OSError):
            self._datagrams.sendto(answer, client)

    def _accept(self, _events: int) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            if len(self._clients) >= _MAX_CONNECTIONS:
                client.close()
                return
            self._clients.add(StreamClient(self._loop, client, answer=self.answer, closed=self._clients.discard))

    def _open_socket(self, family: socket.AddressFamily, kind: socket.SocketKind, inside: bool) -> socket.socket:  # noqa: FBT001 - a callback
        kind |= socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC  # type: ignore[assignment]
        if not inside:
            return socket.socket(family, kind)
        with entered(self._namespace_fd):
            return socket.socket(family, kind)
