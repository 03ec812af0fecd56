"""The resolver's sockets inside the sandbox.

They listen on ports that the kernel chooses; rules inside the sandbox lead port 53 of
127.0.0.11 there. So a container may run a name server of its own on port 53 of all its
addresses.
"""

from __future__ import annotations

import contextlib
import os
import socket

from moorage.kernel.namespaces import CloneFlag, setns
from moorage.netlink import nft_expressions as expr
from moorage.netlink import nftables as nft
from moorage.netlink.socket import NETLINK_NETFILTER, NetlinkSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from moorage.netlink.codec import Message

ADDRESS: Final = "127.0.0.11"
# The roles of the descriptors that one process of a shim hands to the next.
DATAGRAMS: Final = "resolver_datagrams"
STREAMS: Final = "resolver_streams"
NAMESPACE: Final = "resolver_namespace"
_PORT: Final = 53


def open_sockets(namespace_fd: int) -> tuple[int, int]:
    """Make the sockets in a sandbox whose loopback device is up, and lead port 53 there.

    Args:
        namespace_fd: The sandbox's network namespace; stays the caller's.

    Returns:
        The descriptors for datagrams and for streams, now the caller's.

    Raises:
        OSError: The sockets or the rules cannot be made.
    """
    with entered(namespace_fd), _bind(socket.SOCK_DGRAM) as datagrams, _bind(socket.SOCK_STREAM) as streams:
        streams.listen()
        with NetlinkSocket(NETLINK_NETFILTER) as netlink:
            ports = datagrams.getsockname()[1], streams.getsockname()[1]
            nft.commit(netlink, rules(datagrams=ports[0], streams=ports[1]))
        return datagrams.detach(), streams.detach()


def open_if_wanted(path: str, *, pid: int) -> dict[str, int]:
    """Make the sockets for a container that is to have a resolver; return descriptors by role, or none.

    Args:
        path: Of the resolver file, or "".
        pid: The init process, whose network namespace is meant.

    Raises:
        OSError: As `open_sockets`.
    """
    if not path or not os.path.exists(path):  # noqa: PTH110 - pathlib is too slow to import here
        return {}
    namespace_fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        datagrams_fd, streams_fd = open_sockets(namespace_fd)
    except BaseException:
        os.close(namespace_fd)
        raise
    return {DATAGRAMS: datagrams_fd, STREAMS: streams_fd, NAMESPACE: namespace_fd}


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
    """Return the change that leads questions to these ports, whatever led elsewhere before."""
    table = nft.Table(nft.FAMILY_IPV4, "moorage-resolver")
    address = socket.inet_pton(socket.AF_INET, ADDRESS)
    messages = [
        nft.add_table(table),
        nft.delete_table(table),
        nft.add_table(table),
        nft.add_hooked_chain(table, name="output", kind="nat", hook=nft.HOOK_OUTPUT, priority=-100),
    ]
    for protocol, port in ((socket.IPPROTO_UDP, datagrams), (socket.IPPROTO_TCP, streams)):
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
