"""The resolver's sockets inside the sandbox, and what is answered on them.

It listens on ports that the kernel chooses; rules inside the sandbox lead port 53 of
127.0.0.11 there. So a container may run a name server of its own on port 53 of all its
addresses.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket

from moorage.kernel.namespaces import CloneFlag, setns
from moorage.netlink import nft_expressions as expr
from moorage.netlink import nftables as nft
from moorage.netlink.socket import NETLINK_NETFILTER, NetlinkSocket
from moorage.shim.loop import READ
from moorage.shim.resolver import message
from moorage.shim.resolver.exchange import Exchange
from moorage.shim.resolver.stream import StreamClient
from moorage.shim.resolver.zones import Directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from moorage.netlink.codec import Message
    from moorage.shim.loop import Loop

ADDRESS: Final = "127.0.0.11"
_PORT: Final = 53
_TTL: Final = 600
"""Seconds; Docker's number. Clients that keep answers live with stopped containers."""
_LARGEST: Final = 65535
_MAX_QUESTIONS: Final = 1024
"""On their way at once; beyond it a question is refused, as in Docker."""
_MAX_CONNECTIONS: Final = 64


class Resolver:
    """The name server of one container, if it is to have one.

    Args:
        path: Of the resolver file; "" for a container that never has a resolver.
    """

    __slots__ = ("_clients", "_datagrams", "_directory", "_exchanges", "_listener", "_loop", "_namespace_fd")

    def __init__(self, loop: Loop, path: str) -> None:
        self._loop = loop
        self._directory = Directory(path) if path else None
        self._namespace_fd = -1
        self._datagrams: socket.socket | None = None
        self._listener: socket.socket | None = None
        self._exchanges: set[Exchange] = set()
        self._clients: set[StreamClient] = set()

    def open(self, open_namespace: Callable[[], int]) -> None:
        """Begin to answer, if there is a resolver file now; harmless if it answers already.

        Args:
            open_namespace: Returns a new descriptor of the container's network namespace.

        Raises:
            OSError: The sockets or the rules cannot be made.
        """
        if self._directory is None or self._datagrams is not None or not self._directory.exists:
            return
        self._namespace_fd = open_namespace()
        try:
            with entered(self._namespace_fd):
                self._datagrams = _bind(socket.SOCK_DGRAM)
                self._listener = _bind(socket.SOCK_STREAM)
                _lead_here(datagrams=self._datagrams.getsockname()[1], streams=self._listener.getsockname()[1])
        except OSError:
            self.close()
            raise
        self._listener.listen()
        self._loop.watch(self._datagrams.fileno(), READ, self._datagram)
        self._loop.watch(self._listener.fileno(), READ, self._accept)

    def close(self) -> None:
        """Stop answering, and let go of the namespace."""
        for exchange in tuple(self._exchanges):
            exchange.cancel()
        self._exchanges.clear()
        for client in tuple(self._clients):
            client.close()
        for one in (self._datagrams, self._listener):
            if one is not None:
                self._loop.forget(one.fileno())
                one.close()
        self._datagrams = self._listener = None
        if self._namespace_fd >= 0:
            os.close(self._namespace_fd)
            self._namespace_fd = -1

    def answer(self, question: bytes, *, stream: bool, reply: Callable[[bytes], None]) -> None:
        """Answer one message, now or later; a message that is no question is dropped."""
        query = message.read_query(question)
        if query is None or self._directory is None:
            return
        own = self._own_answer(query, self._directory, stream=stream)
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

    def _own_answer(self, query: message.Query, directory: Directory, *, stream: bool) -> bytes | None:
        if query.kind == message.PTR:
            address = message.address_of_pointer(query.name)
            owner = directory.owner(address) if address else None
            return message.pointer(query, owner, ttl=_TTL) if owner else None
        found = directory.lookup(query.name)
        if found is None:
            return None
        # Several holders of a name share the load.
        random.shuffle(found)
        return message.addresses(query, found, ttl=_TTL, stream=stream)

    def _datagram(self, _events: int) -> None:
        datagrams = self._datagrams
        if datagrams is None:
            return
        with contextlib.suppress(BlockingIOError):
            question, client = datagrams.recvfrom(_LARGEST)
            self.answer(question, stream=False, reply=lambda answer: self._send(answer, client))

    def _send(self, answer: bytes, client: tuple[str, int]) -> None:
        # The resolver may be closed by now, or the client's socket.
        if self._datagrams is not None:
            with contextlib.suppress(OSError):
                self._datagrams.sendto(answer, client)

    def _accept(self, _events: int) -> None:
        if self._listener is None:
            return
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


@contextlib.contextmanager
def entered(namespace_fd: int) -> Iterator[None]:
    """Be in another network namespace for a moment; only for a process with one thread."""
    own_fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(namespace_fd, CloneFlag.NEWNET)
        try:
            yield
        finally:
            setns(own_fd, CloneFlag.NEWNET)
    finally:
        os.close(own_fd)


def rules(*, datagrams: int, streams: int) -> list[Message]:
    """Return the change that leads questions to these ports, inside a sandbox's namespace."""
    table = nft.Table(nft.FAMILY_IPV4, "moorage-resolver")
    address = socket.inet_pton(socket.AF_INET, ADDRESS)
    messages = [
        nft.add_table(table),
        nft.add_hooked_chain(table, name="output", kind="nat", hook=nft.HOOK_OUTPUT, priority=-100),
    ]
    for protocol, port in ((17, datagrams), (6, streams)):
        expressions = (
            expr.payload(base=expr.BASE_NETWORK, offset=16, length=4),
            expr.equal(address),
            expr.meta(expr.META_PROTOCOL),
            expr.equal(bytes((protocol,))),
            expr.payload(base=expr.BASE_TRANSPORT, offset=2, length=2),
            expr.equal(nft.port(_PORT)),
            expr.load(address),
            expr.load(nft.port(port), register=expr.REGISTER + 1),
            expr.translate_destination(family=2, address=expr.REGISTER, port=expr.REGISTER + 1),
        )
        messages.append(nft.add_rule(table, chain="output", expressions=expressions))
    return messages


def _bind(kind: socket.SocketKind) -> socket.socket:
    bound = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        bound.bind((ADDRESS, 0))
    except OSError:
        bound.close()
        raise
    return bound


def _lead_here(*, datagrams: int, streams: int) -> None:
    with NetlinkSocket(NETLINK_NETFILTER) as netlink:
        nft.commit(netlink, rules(datagrams=datagrams, streams=streams))
