"""Forwarding UDP: one socket to the container for each client, so that answers find their way."""

from __future__ import annotations

import contextlib
import socket
import time

from moorage.shim.loop import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from moorage.shim.loop import Loop, Timer

_LARGEST = 65535
_IDLE_LIMIT = 90.0
"""Seconds without a datagram after which a client's socket is closed, as in Docker's proxy."""
_MAX_FLOWS = 1024


class DatagramForward:
    """One bound socket whose datagrams go to a container.

    Args:
        listener: Bound; the forward owns it.
        target: Address and port in the container.
    """

    __slots__ = ("_flows", "_listener", "_loop", "_target", "_timer")

    def __init__(self, loop: Loop, listener: socket.socket, target: tuple[str, int]) -> None:
        self._loop = loop
        self._listener = listener
        self._target = target
        self._flows: dict[Any, _Flow] = {}
        self._timer: Timer | None = None
        listener.settimeout(0)
        loop.watch(listener.fileno(), READ, self._received)

    def close(self) -> None:
        """Stop forwarding, and free the port."""
        self._loop.forget(self._listener.fileno())
        self._listener.close()
        for client in tuple(self._flows):
            self._drop(client)
        if self._timer:
            self._timer.cancel()

    @property
    def is_quiet(self) -> bool:
        """Tell whether no client has been heard of lately."""
        return not self._flows

    def _received(self, _events: int) -> None:
        try:
            data, client = self._listener.recvfrom(_LARGEST)
        except OSError:
            return
        with contextlib.suppress(OSError):
            # No way there, nobody listens yet, or the buffer is full: a datagram may be lost.
            flow = self._flows.get(client) or self._open(client)
            flow.used = time.monotonic()
            flow.socket.send(data)

    def _open(self, client: Any) -> _Flow:
        if len(self._flows) >= _MAX_FLOWS:
            self._drop(min(self._flows, key=lambda one: self._flows[one].used))
        family = socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET
        flow = _Flow(socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK))
        try:
            flow.socket.connect(self._target)
        except OSError:
            flow.socket.close()
            raise
        self._flows[client] = flow
        self._loop.watch(flow.socket.fileno(), READ, lambda _events: self._answer(client))
        if self._timer is None:
            self._timer = self._loop.after(_IDLE_LIMIT, self._sweep)
        return flow

    def _answer(self, client: Any) -> None:
        flow = self._flows[client]
        with contextlib.suppress(OSError):
            # Also ECONNREFUSED: the container's port is closed, which the client cannot be told.
            data = flow.socket.recv(_LARGEST)
            flow.used = time.monotonic()
            self._listener.sendto(data, client)

    def _drop(self, client: Any) -> None:
        flow = self._flows.pop(client)
        self._loop.forget(flow.socket.fileno())
        flow.socket.close()

    def _sweep(self) -> None:
        oldest = time.monotonic() - _IDLE_LIMIT
        for client in [client for client, flow in self._flows.items() if flow.used <= oldest]:
            self._drop(client)
        self._timer = self._loop.after(_IDLE_LIMIT, self._sweep) if self._flows else None


class _Flow:
    """One client's way to the container."""

    __slots__ = ("socket", "used")

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.used = 0.0
