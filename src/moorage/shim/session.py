"""The streams of one process: its output to the log and to clients, their input to it."""

from __future__ import annotations

import os

from moorage.shim.client import Client
from moorage.shim.sink import Sink
from moorage.shim.source import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from moorage.api.shim import Attach
    from moorage.shim.loop import Loop, Timer

    class Log(Protocol):
        """What takes the output."""

        @property
        def is_blocked(self) -> bool:
            """Tell whether it can take no more for now."""

        def write(self, stream: str, data: bytes) -> None:
            """Take a chunk."""

        def finish(self, stream: str) -> None:
            """Learn that a stream has ended."""


_DRAIN_LIMIT = 2.0
"""Seconds a stream may stay open after its process has ended; Docker waits as long.

All processes of a container die with its first one, so whoever still holds the stream is
a stranger that was handed the descriptor, and may keep it for ever.
"""
_DRAIN_CHUNKS = 64


class Session:
    """One process's streams, and the clients attached to them.

    Args:
        terminal: Whether one terminal serves all streams.
        once: Whether the first end of a client's input closes the process's.
        log: Called with every chunk of output ("stdout" or "stderr").
        detached: Called with the name of a client that pressed its detach keys.
        input_closed: Called when the process can get no more input.
        idle: Called when the last client is gone.
    """

    __slots__ = (
        "_clients", "_detached", "_drain_timer", "_drained", "_finishing", "_idle", "_input_closed", "_is_open", "_log",
        "_loop", "_once", "_sink", "_sources", "_terminal",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - one argument for each thing that its owner learns
        self,
        loop: Loop,
        *,
        terminal: bool,
        once: bool,
        log: Log,
        detached: Callable[[str], None],
        input_closed: Callable[[], None],
        idle: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._terminal = terminal
        self._once = once
        self._log = log
        self._detached = detached
        self._input_closed = input_closed
        self._idle = idle
        self._clients: list[Client] = []
        self._sources: dict[str, Source] = {}
        self._sink: Sink | None = None
        self._is_open = False
        self._finishing = False
        self._drained: Callable[[], None] | None = None
        self._drain_timer: Timer | None = None

    def open(self, *, stdin_fd: int, outputs: Mapping[str, int]) -> None:
        """Begin to carry: take the descriptors of a process that now exists.

        Args:
            stdin_fd: -1 without input.
            outputs: By "stdout" and "stderr"; a terminal is "stdout".
        """
        if stdin_fd >= 0:
            os.set_blocking(stdin_fd, False)
            self._sink = Sink(self._loop, stdin_fd, drained=self._update_clients, closed=self._input_closed)
        for stream, fd in outputs.items():
            os.set_blocking(fd, False)
            self._sources[stream] = Source(
                self._loop,
                fd,
                read=lambda data, stream=stream: self._output(stream, data),  # type: ignore[misc]
                ended=lambda stream=stream: self._output_ended(stream),  # type: ignore[misc]
            )
        self._is_open = True
        for client in tuple(self._clients):
            client.begin()
        self._pause_if_blocked()

    def attach(self, fd: int, attach: Attach) -> None:
        """Join a client, whose connection now belongs to the session."""
        client = Client(self._loop, fd, attach, streams=self, terminal=self._terminal)
        self._clients.append(client)
        if self._is_open:
            client.begin()

    @property
    def is_quiet(self) -> bool:
        """Tell whether nothing is under way, so that somebody else could go on with the descriptors."""
        return self._is_open and not self._clients and not (self._sink and self._sink.is_blocked)

    def descriptors(self) -> dict[str, int]:
        """Return the open descriptors by "stdin", "stdout" and "stderr"."""
        found = {stream: source.fd for stream, source in self._sources.items()}
        if self._sink and not self._sink.is_closed:
            found["stdin"] = self._sink.fd
        return found

    @property
    def has_clients(self) -> bool:
        """Tell whether any client's connection is open."""
        return bool(self._clients)

    def drain(self, drained: Callable[[], None]) -> None:
        """Read all that the ended process has written, then call `drained`.

        From now on slow clients no longer hold the reading up: what is left is bounded by
        the size of a pipe.
        """
        self._finishing = True
        if self._sink:
            self._sink.close()
        for source in tuple(self._sources.values()):
            source.resume()
            source.read_available(chunks=_DRAIN_CHUNKS)
        if not self._sources:
            drained()
            return
        self._drained = drained
        self._drain_timer = self._loop.after(_DRAIN_LIMIT, self._give_up)

    def finish_clients(self) -> None:
        """Close every client once it has got everything."""
        for client in tuple(self._clients):
            client.finish()

    def close(self) -> None:
        """Let go of everything now."""
        self._drained = None
        if self._drain_timer:
            self._drain_timer.cancel()
        if self._sink:
            self._sink.close()
        for source in tuple(self._sources.values()):
            source.close()
        for client in tuple(self._clients):
            client.close()

    # What its clients call.

    @property
    def takes_input(self) -> bool:
        """Tell whether input would be accepted now; a closed input takes, and drops, anything."""
        return self._sink is not None and not self._sink.is_blocked

    def input(self, data: bytes) -> None:
        """Pass on what a client typed."""
        if self._sink:
            self._sink.write(data)

    def input_ended(self, client: Client) -> None:
        """Close the process's input, if one client's end is meant to be the end of it, or let the client go.

        As in Docker: where the end of one client's input is not the end of the process's, it
        ends the client's attachment. Clients wait for that.
        """
        if not self._once or self._terminal:
            client.finish()
        elif self._sink:
            self._sink.close_after_writing()

    def flushed(self) -> None:
        """Go on reading once the log and one of the clients have caught up."""
        if not self._is_blocked():
            for source in self._sources.values():
                source.resume()

    def detached(self, client: Client) -> None:
        """Tell the daemon."""
        self._detached(client.id)

    def gone(self, client: Client) -> None:
        """Forget a client."""
        self._clients.remove(client)
        self.flushed()
        if not self._clients:
            self._idle()

    # What its sources and its sink call.

    def _output(self, stream: str, data: bytes) -> None:
        self._log.write(stream, data)
        for client in tuple(self._clients):
            client.send(stream, data)
        self._pause_if_blocked()

    def _pause_if_blocked(self) -> None:
        if self._finishing:
            return
        if self._is_blocked():
            for source in self._sources.values():
                source.pause()
            return
        for client in tuple(self._clients):
            # The others and the process do not wait for one that has stopped reading.
            if client.is_far_behind:
                client.close()

    def _is_blocked(self) -> bool:
        """Tell whether the log or everybody who listens is behind: the process then waits, as for a slow pipe."""
        listeners = [client for client in self._clients if client.takes_output]
        return self._log.is_blocked or (bool(listeners) and all(client.is_blocked for client in listeners))

    def _output_ended(self, stream: str) -> None:
        del self._sources[stream]
        self._log.finish(stream)
        if not self._sources and self._drained:
            drained, self._drained = self._drained, None
            if self._drain_timer:
                self._drain_timer.cancel()
            drained()

    def _give_up(self) -> None:
        for source in tuple(self._sources.values()):
            source.close()

    def _update_clients(self) -> None:
        for client in tuple(self._clients):
            client.update()
