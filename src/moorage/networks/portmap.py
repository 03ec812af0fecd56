"""Ports of the host: reading what was asked for, and reserving them.

A published port is reserved by a socket that is bound to it. The shim holds the sockets
while the container runs, so no other program can take the port, the daemon may restart,
and what the firewall does not translate still finds somebody to answer.
"""

import contextlib
import errno
import ipaddress
import os
import random
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moorage.networks.errors import InvalidPortError, PortTakenError
from moorage.networks.models import PortBinding, PublishedPort

_RANGE_FILE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_RESERVED_FILE: Final = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
_BACKLOG: Final = 4096
_IPPROTO_SCTP: Final = 132

_TYPES: Final = {
    "tcp": (socket.SOCK_STREAM, 0),
    "udp": (socket.SOCK_DGRAM, 0),
    "sctp": (socket.SOCK_STREAM, _IPPROTO_SCTP),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRequest:
    """One binding, read.

    Attributes:
        host_ips: All addresses that must get the same port; wildcards of both families
            if the user named none.
        first, last: The host ports to choose from; 0 means any free one.
    """

    protocol: str
    container_port: int
    host_ips: tuple[str, ...]
    first: int
    last: int

    @property
    def choice(self) -> int:
        """How many host ports would do."""
        return self.last - self.first + 1 if self.first else 1 << 16


def read_container_port(text: str) -> tuple[str, int]:
    """Return (protocol, number) of "80/tcp" or "80".

    Raises:
        InvalidPortError: It is not a port.
    """
    number, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in _TYPES:
        raise InvalidPortError(f"invalid proto: {protocol}")
    if not number.isdecimal() or not 0 < int(number) <= 65535:
        raise InvalidPortError(f"invalid port: '{number}'")
    return protocol, int(number)


def read_bindings(
    bindings: Mapping[str, Sequence[PortBinding]],
    *,
    exposed: Iterable[str],
    publish_all: bool,
    default_ips: tuple[str, ...],
) -> list[PortRequest]:
    """Return everything to publish, by container port.

    Args:
        default_ips: For bindings that name no address.

    Raises:
        InvalidPortError: A binding makes no sense.
    """
    wanted = {port: list(given) for port, given in bindings.items() if given}
    if publish_all:
        for port in exposed:
            wanted.setdefault(port, [PortBinding()])
    requests = []
    for port in sorted(wanted, key=_by_number):
        protocol, number = read_container_port(port)
        for binding in wanted[port]:
            first, last = _read_host_port(binding.host_port)
            requests.append(
                PortRequest(
                    protocol=protocol,
                    container_port=number,
                    host_ips=(_read_host_ip(binding.host_ip),) if binding.host_ip else default_ips,
                    first=first,
                    last=last,
                )
            )
    return requests


def ephemeral_range() -> range:
    """Return the ports that the kernel, and we, choose from."""
    first, last = map(int, _RANGE_FILE.read_text().split())
    return range(first, last + 1)


def reserved_ports() -> frozenset[int]:
    """Return the ports that the administrator keeps from being chosen."""
    ports: set[int] = set()
    for part in _RESERVED_FILE.read_text().strip().split(","):
        if part:
            first, _, last = part.partition("-")
            ports.update(range(int(first), int(last or first) + 1))
    return frozenset(ports)


class PortMap:
    """Which ports of the host are ours."""

    def __init__(self, *, bind: Callable[[str, str, int], socket.socket] | None = None) -> None:
        """Start with none.

        Args:
            bind: How (protocol, address, port) is reserved; for tests.
        """
        self._bind = bind or reserve
        self._held: dict[tuple[str, int], set[str]] = {}
        # Where the search for a free port goes on: a port just given back is not given
        # to somebody else at once, so that old clients do not meet a stranger.
        self._cursor = random.randrange(1 << 16)  # noqa: S311 - not a secret

    def open(
        self, requests: Sequence[PortRequest], *, target: Callable[[str], str]
    ) -> tuple[tuple[PublishedPort, ...], tuple[socket.socket, ...]]:
        """Reserve all of the requested ports, or none.

        Args:
            target: Gives the container's address for a host address.

        Returns:
            What is published, and for each item the socket that holds the port. The
            sockets are the caller's.

        Raises:
            PortTakenError: One cannot be had.
        """
        published: list[PublishedPort] = []
        with contextlib.ExitStack() as undo:
            listeners: list[socket.socket] = []
            # Who can have anything must not take the only port that another can have.
            for request in sorted(requests, key=lambda request: request.choice):
                ports, sockets = self._open_one(request, target)
                published += ports
                listeners += sockets
                undo.callback(_close, sockets)
                undo.callback(self.release, ports)
            undo.pop_all()
        return tuple(published), tuple(listeners)

    def restore(self, ports: Iterable[PublishedPort]) -> None:
        """Remember ports whose sockets a running container's shim holds."""
        for port in ports:
            self._held.setdefault((port.protocol, port.host_port), set()).add(port.host_ip)

    def release(self, ports: Iterable[PublishedPort]) -> None:
        """Forget ports; unknown ones are no error."""
        for port in ports:
            held = self._held.get((port.protocol, port.host_port))
            if held is not None:
                held.discard(port.host_ip)
                if not held:
                    del self._held[port.protocol, port.host_port]

    def _open_one(
        self, request: PortRequest, target: Callable[[str], str]
    ) -> tuple[list[PublishedPort], list[socket.socket]]:
        failure: PortTakenError | None = None
        for number in self._candidates(request):
            try:
                sockets = self._reserve(request, number, target)
            except PortTakenError as error:
                failure = error
                continue
            ports = [
                PublishedPort(
                    protocol=request.protocol,
                    host_ip=host_ip,
                    host_port=number,
                    target_ip=target(host_ip),
                    target_port=request.container_port,
                )
                for host_ip in request.host_ips
            ]
            self.restore(ports)
            return ports, sockets
        raise failure or PortTakenError("all ports are allocated")

    def _candidates(self, request: PortRequest) -> Iterator[int]:
        if request.first:
            yield from range(request.first, request.last + 1)
            return
        ports, reserved = ephemeral_range(), reserved_ports()
        for _ in range(len(ports)):
            self._cursor += 1
            number = ports[self._cursor % len(ports)]
            if number not in reserved and (request.protocol, number) not in self._held:
                yield number

    def _reserve(self, request: PortRequest, number: int, target: Callable[[str], str]) -> list[socket.socket]:
        sockets: list[socket.socket] = []
        for host_ip in request.host_ips:
            shown = f"[{host_ip}]" if ":" in host_ip else host_ip
            if self._is_ours(request.protocol, host_ip, number):
                _close(sockets)
                raise PortTakenError(f"Bind for {shown}:{number} failed: port is already allocated")
            try:
                sockets.append(self._bind(request.protocol, host_ip, number))
            except OSError as error:
                _close(sockets)
                inside = target(host_ip)
                inside = f"[{inside}]" if ":" in inside else inside
                raise PortTakenError(
                    f"failed to bind host port for {shown}:{number}:{inside}:{request.container_port}"
                    f"/{request.protocol}: {_reason(error)}"
                ) from error
        return sockets

    def _is_ours(self, protocol: str, host_ip: str, number: int) -> bool:
        wanted = ipaddress.ip_address(host_ip)
        for held in map(ipaddress.ip_address, self._held.get((protocol, number), ())):
            if held.version == wanted.version and (held == wanted or held.is_unspecified or wanted.is_unspecified):
                return True
        return False


def reserve(protocol: str, host_ip: str, port: int) -> socket.socket:
    """Bind a socket to a port, and for TCP listen, so that nobody else can.

    Raises:
        OSError: EADDRINUSE: somebody has it; EADDRNOTAVAIL: the host has no such address.
    """
    family = socket.AF_INET6 if ":" in host_ip else socket.AF_INET
    kind, number = _TYPES[protocol]
    reserved = socket.socket(family, kind, number)
    try:
        if family == socket.AF_INET6:
            reserved.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            # Old connections of an earlier container must not hold the port for a minute.
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind((host_ip, port))
        if kind == socket.SOCK_STREAM:
            reserved.listen(_BACKLOG)
    except OSError:
        reserved.close()
        raise
    return reserved


def _read_host_port(text: str) -> tuple[int, int]:
    if not text:
        return 0, 0
    first, _, last = text.partition("-")
    last = last or first
    if not (first.isdecimal() and last.isdecimal()) or int(last) > 65535 or int(first) > int(last):
        raise InvalidPortError(f'invalid port specification: "{text}"')
    return int(first), int(last)


def _read_host_ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise InvalidPortError(f"invalid IP address: {text}") from None


def _by_number(port: str) -> tuple[int, str]:
    protocol, number = read_container_port(port)
    return number, protocol


def _close(sockets: Iterable[socket.socket]) -> None:
    for one in sockets:
        one.close()


def _reason(error: OSError) -> str:
    if error.errno in {errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT}:
        return "protocol not supported"
    return os.strerror(error.errno or 0).lower()
