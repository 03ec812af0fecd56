"""Join a client's connection to a container's streams.

The connection itself is handed to the shim, which from then on talks to the client: the
daemon may be killed and replaced without the client noticing. A container that does not
run has no shim, so its clients wait here until it starts.

Spec: Engine API, POST /containers/{id}/attach.
"""

import asyncio
import base64
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from moorage.engine.containers.errors import ContainerStateError, NotRunningError, RequestRefusedError
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.tasks import Tasks
from moorage.engine.launching import AttachedClient

DEFAULT_DETACH_KEYS: Final = (16, 17)
"""ctrl-p, ctrl-q."""

_CONTROL: Final = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}
_DELETE: Final = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachRequest:
    """What a client asks of an attach.

    Attributes:
        logs: Send what the container said so far first.
        stream: Then join the live streams.
        detach_keys: As the client wrote them; empty for the default.
        raw: The client wants the outputs mixed even where they can be told apart.
    """

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    logs: bool = False
    stream: bool = False
    detach_keys: str = ""
    raw: bool = False


def parse_detach_keys(text: str) -> tuple[int, ...]:
    """Return the bytes of a sequence such as `ctrl-p,ctrl-q` or `a,b`.

    Raises:
        RequestRefusedError: A key is unknown.
    """
    if not text:
        return DEFAULT_DETACH_KEYS
    return tuple(_key(word, text) for word in text.split(","))


def _key(word: str, text: str) -> int:
    if len(word) == 1 and word.isascii():
        return ord(word)
    control = word.removeprefix("ctrl-")
    if control != word and len(control) == 1:
        if "a" <= control <= "z":
            return ord(control) - ord("a") + 1
        if control in _CONTROL:
            return _CONTROL[control]
    if word == "DEL":
        return _DELETE
    raise RequestRefusedError(f"Invalid detach keys ({text}) provided")


def attach_message(
    *, streams: tuple[bool, bool, bool], multiplex: bool, detach_keys: Sequence[int], leftover: bytes
) -> dict[str, object]:
    """Return the ATTACH object of `moorage.api.shim` for stdin, stdout and stderr."""
    stdin, stdout, stderr = streams
    return {
        "id": secrets.token_hex(8),
        "stdin": stdin,
        "stdout": stdout,
        "stderr": stderr,
        "multiplex": multiplex,
        "detach_keys": list(detach_keys),
        "leftover": base64.b64encode(leftover).decode(),
    }


class PendingAttaches:
    """Clients of containers that have not started yet."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[AttachedClient]] = {}

    def add(self, container_id: str, client: AttachedClient) -> None:
        """Keep a client until the container starts; its connection is owned here now."""
        self._waiting.setdefault(container_id, []).append(client)

    @contextmanager
    def take(self, container_id: str) -> Iterator[list[AttachedClient]]:
        """Lend the clients of a container that starts; the daemon's copies close afterwards."""
        clients = self._waiting.pop(container_id, [])
        try:
            yield clients
        finally:
            for client in clients:
                client.connection.close()

    def drop(self, container_id: str) -> None:
        """Let the clients of a container go that will not start."""
        with self.take(container_id):
            pass


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachTarget:
    """A container that can be attached to."""

    record: ContainerRecord
    request: AttachRequest
    detach_keys: tuple[int, ...]

    @property
    def multiplexed(self) -> bool:
        """Whether the stream has frames, because there is no terminal that mixes the two outputs."""
        return not self.record.config.tty and not self.request.raw

    @property
    def has_past(self) -> bool:
        """Whether the client is told what was said before; a container that never ran said nothing."""
        return self.request.logs and self.record.state.started_before

    @property
    def joins_running(self) -> bool:
        """Whether the client may cause output as soon as it is answered, so that it must be joined before."""
        request = self.request
        joins = request.stream and (request.stdin or request.stdout or request.stderr)
        return joins and self.record.state.has_process and not self.has_past


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerAttacher:
    """Attaches clients.

    Attributes:
        past_output: Yields what a container said so far, framed for the client.
    """

    registry: ContainerRegistry
    tasks: Tasks
    pending: PendingAttaches
    events: EventPublisher
    past_output: Callable[[ContainerRecord, AttachRequest], AsyncIterator[bytes]]

    def prepare(self, reference: str, request: AttachRequest) -> AttachTarget:
        """Check an attach before the connection is taken over.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            ContainerStateError: It is paused or restarting.
            RequestRefusedError: The detach keys are none.
        """
        keys = parse_detach_keys(request.detach_keys)
        record = self.registry.resolve(reference)
        if record.state.paused:
            raise ContainerStateError(f"container {reference} is paused, unpause the container before attach")
        if record.state.restarting:
            raise ContainerStateError(
                f"container {reference} is restarting, wait until the container is running before attach"
            )
        return AttachTarget(record=record, request=request, detach_keys=keys)

    async def attach(
        self, target: AttachTarget, connection: socket.socket, *, leftover: bytes = b"", head: bytes = b""
    ) -> None:
        """Join a connection, which is owned here now, to the container's streams.

        Args:
            leftover: What the client has sent already.
            head: What it is told once it is joined: the head of the answer.
        """
        record, request = target.record, target.request
        try:
            # Between here and the join a container that never ran might be started, and would
            # not be heard: nothing may be awaited.
            if target.has_past:
                await self._send_past(record, request, connection)
            if not request.stream or not (request.stdin or request.stdout or request.stderr):
                connection.close()
                return
            config = record.config
            message = attach_message(
                streams=(request.stdin and config.open_stdin, request.stdout, request.stderr),
                multiplex=target.multiplexed,
                detach_keys=target.detach_keys,
                leftover=leftover,
            )
            self.events.publish("container", "attach", record.id, record.event_attributes())
            await self._join(record.id, AttachedClient(connection=connection, request=message), head)
        except BaseException:
            connection.close()
            raise

    async def _join(self, container_id: str, client: AttachedClient, head: bytes) -> None:
        task = self.tasks.find(container_id)
        if task is None or task.ended:
            _send_head(client.connection, head)
            self.pending.add(container_id, client)
            return
        try:
            await task.attach(client.request, client.connection.fileno(), head=head)
        except NotRunningError:
            # It has ended meanwhile: the client finds its stream ended, too.
            _send_head(client.connection, head)
            raise
        client.connection.close()

    async def _send_past(self, record: ContainerRecord, request: AttachRequest, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        async for chunk in self.past_output(record, request):
            await loop.sock_sendall(connection, chunk)


def _send_head(connection: socket.socket, head: bytes) -> None:
    with contextlib.suppress(OSError):
        # Nothing was sent before, so there is room.
        connection.send(head)
