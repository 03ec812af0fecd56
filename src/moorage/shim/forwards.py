"""Published ports that the kernel's own translation does not reach.

The sockets are bound by the daemon and held open here, so a port stays reserved for as long
as its container runs, with or without a daemon.
"""

from __future__ import annotations

import contextlib
import errno
import socket

from moorage.shim.datagrams import DatagramForward
from moorage.shim.loop import READ
from moorage.shim.relay import Relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from moorage.api.shim import ForwardPlan
    from moorage.shim.loop import Loop

_PAUSE = 0.5
"""Seconds without accepting after descriptors have run out."""


class Forwards:
    """All of one container.

    Args:
        fds: One bound socket for each plan; owned from now on.
    """

    __slots__ = ("_loop", "_open", "_plans", "_reserved")

    def __init__(self, loop: Loop, fds: Sequence[int], plans: Sequence[ForwardPlan]) -> None:
        self._loop = loop
        self._plans = plans
        self._reserved = [socket.socket(fileno=fd) for fd in fds]
        self._open: list[DatagramForward | StreamForward] = []

    def open(self) -> None:
        """Begin to forward; connections made before have waited in the sockets' queues."""
        for listener, plan in zip(self._reserved, self._plans, strict=True):
            target = (plan["target"][0], plan["target"][1])
            if plan["protocol"] == "tcp":
                self._open.append(StreamForward(self._loop, listener, target))
            elif plan["protocol"] == "udp":
                self._open.append(DatagramForward(self._loop, listener, target))

    @property
    def is_quiet(self) -> bool:
        """Tell whether no connection is being forwarded."""
        return all(forward.is_quiet for forward in self._open)

    def descriptors(self) -> list[tuple[str, int]]:
        """Return the bound sockets in the order of their plans: "forward", or "reserved" if nobody accepts there."""
        return [
            ("forward" if plan["protocol"] in {"tcp", "udp"} else "reserved", sock.fileno())
            for sock, plan in zip(self._reserved, self._plans, strict=False)
        ]

    def close(self) -> None:
        """Drop all connections and free the ports."""
        for forward in self._open:
            forward.close()
        for listener in self._reserved:
            listener.close()
        self._open, self._reserved = [], []


class StreamForward:
    """One listening socket whose connections go to a container.

    Args:
        listener: Listening; the forward owns it.
        target: Address and port in the container.
    """

    __slots__ = ("_listener", "_loop", "_relays", "_target")

    def __init__(self, loop: Loop, listener: socket.socket, target: tuple[str, int]) -> None:
        self._loop = loop
        self._listener = listener
        self._target = target
        self._relays: set[Relay] = set()
        listener.settimeout(0)
        loop.watch(listener.fileno(), READ, self._accept)

    def close(self) -> None:
        """Drop all connections and free the port."""
        self._loop.forget(self._listener.fileno())
        self._listener.close()
        for relay in tuple(self._relays):
            relay.close()

    @property
    def is_quiet(self) -> bool:
        """Tell whether there is no connection."""
        return not self._relays

    def _accept(self, _events: int) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self._pause()
            return
        try:
            self._join(client)
        except OSError:
            client.close()

    def _join(self, client: socket.socket) -> None:
        client.settimeout(0)
        family = socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET
        server = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            for one in (client, server):
                # Each splice already carries all there is: nothing is gained by waiting for more.
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(BlockingIOError):
                server.connect(self._target)
            self._relays.add(Relay(self._loop, client, server, closed=self._relays.discard))
        except OSError:
            server.close()
            raise

    def _pause(self) -> None:
        self._loop.forget(self._listener.fileno())
        self._loop.after(_PAUSE, self._resume)

    def _resume(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.watch(self._listener.fileno(), READ, self._accept)
