"""The asynchronous Python client: what ``moorage.connect_async()`` returns."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack

from moorage.api import endpoints, images, volumes
from moorage.api.container_state import ContainerInspectResponse
from moorage.api.containers import ContainerKillQuery, ContainerListQuery, ContainerStopQuery, ContainerSummary
from moorage.api.filters import Filters
from moorage.api.streams import FrameReader
from moorage.api.versions import Version
from moorage.client import steps
from moorage.client.address import Address
from moorage.client.calls import Call, agreed_version, call, decode
from moorage.client.connection import tls_context
from moorage.client.errors import EncryptionError, EngineUnreachableError, error_for
from moorage.client.http1 import BadResponseError, Head, ResponseReader, encode_request
from moorage.client.ssh import dial
from moorage.client.steps import Command, ExecKeywords, ExecResult, Gather, RunKeywords, RunOptions, Steps

ResultT = TypeVar("ResultT")

_READ_SIZE: Final = 256 * 1024


class AsyncExchange:
    """One request that was sent, and its answer as it comes."""

    def __init__(self, reader: asyncio.StreamReader, *, bodiless: bool = False) -> None:
        self._stream = reader
        self._parser = ResponseReader(bodiless=bodiless)
        self._early: list[bytes] = []

    async def head(self) -> Head:
        """Wait for the answer's head."""
        while self._parser.head is None:
            self._early += await self._receive()
        return self._parser.head

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; an engine's refusal is raised instead."""
        if (await self.head()).status >= 400:
            raise error_for((await self.head()).status, await self.body())
        async for piece in self._pieces():
            yield piece

    async def body(self) -> bytes:
        """Return the whole body."""
        await self.head()
        return b"".join([piece async for piece in self._pieces()])

    async def _pieces(self) -> AsyncIterator[bytes]:
        while True:
            pieces, self._early = self._early, []
            for piece in pieces:
                yield piece
            if self._parser.complete:
                return
            self._early = await self._receive()

    async def _receive(self) -> list[bytes]:
        try:
            data = await self._stream.read(_READ_SIZE)
        except ConnectionError as error:
            raise BadResponseError("the engine broke the connection off") from error
        if not data:
            self._parser.finish()
            return []
        return self._parser.feed(data)


class AsyncConnection:
    """Sends calls to one engine; each has a socket of its own."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._version: Version | None = None

    @asynccontextmanager
    async def begin(self, request: Call[Any]) -> AsyncIterator[AsyncExchange]:
        """Send a call and give its exchange; the socket is closed at the end.

        Raises:
            EngineUnreachableError: Nothing answers there.
        """
        if self._version is None:
            async with self._send(call(endpoints.SYSTEM_PING_HEAD)) as exchange:
                self._version = agreed_version(await exchange.head())
        async with self._send(request) as exchange:
            yield exchange

    @asynccontextmanager
    async def _send(self, request: Call[Any]) -> AsyncIterator[AsyncExchange]:
        reader, writer = await self._open()
        try:
            writer.write(
                encode_request(
                    request.method,
                    request.versioned(self._version),
                    authority=self.address.authority,
                    headers=request.headers,
                    body=request.body,
                )
            )
            yield AsyncExchange(reader, bodiless=request.method == "HEAD")
        finally:
            writer.close()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = self.address
        if address.ssh is not None:
            return await asyncio.open_connection(sock=await asyncio.to_thread(dial, address.ssh))
        try:
            if address.path:
                return await asyncio.open_unix_connection(address.path)
            if address.tls is None:
                return await asyncio.open_connection(address.host, address.port)
        except OSError as error:
            raise EngineUnreachableError(address.text) from error
        try:
            return await asyncio.open_connection(address.host, address.port, ssl=tls_context(address.tls))
        except ConnectionRefusedError as error:
            raise EngineUnreachableError(address.text) from error
        except OSError as error:
            raise EncryptionError(address.text, error) from error


class AsyncImages:
    """The engine's images; see `moorage.client.blocking.Images`."""

    def __init__(self, engine: "AsyncEngine") -> None:
        self._engine = engine

    async def pull(self, reference: str, *, platform: str = "") -> None:
        """Pull an image; without a tag, ``latest``."""
        await self._engine.drive(steps.pull(reference, platform=platform))

    async def list(self, *, filters: Mapping[str, Sequence[str]] | None = None) -> list[images.ImageSummary]:
        """Return the images, newest first."""
        query = images.ImageListQuery(filters=Filters({key: tuple(value) for key, value in (filters or {}).items()}))
        return await self._engine.perform(call(endpoints.IMAGE_LIST, query=query))

    async def remove(self, reference: str, *, force: bool = False) -> None:
        """Remove a tag, and the image with its last one."""
        query = images.ImageDeleteQuery(force=force)
        await self._engine.perform(call(endpoints.IMAGE_DELETE, path={"name": reference}, query=query))


class AsyncVolumes:
    """The engine's volumes; see `moorage.client.blocking.Volumes`."""

    def __init__(self, engine: "AsyncEngine") -> None:
        self._engine = engine

    async def create(self, name: str = "", *, labels: Mapping[str, str] | None = None) -> volumes.Volume:
        """Create a volume; without a name, an anonymous one."""
        body = volumes.VolumeCreateRequest(name=name, labels=dict(labels or {}))
        return await self._engine.perform(call(endpoints.VOLUME_CREATE, body=body))

    async def list(self) -> list[volumes.Volume]:
        """Return every volume."""
        return (await self._engine.perform(call(endpoints.VOLUME_LIST))).volumes or []

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a volume and its data."""
        query = volumes.VolumeDeleteQuery(force=force)
        await self._engine.perform(call(endpoints.VOLUME_DELETE, path={"name": name}, query=query))


class AsyncContainer:
    """One container; see `moorage.client.blocking.Container`."""

    def __init__(self, engine: "AsyncEngine", identity: str) -> None:
        self._engine = engine
        self.id = identity

    def __repr__(self) -> str:
        return f"<AsyncContainer {self.id[:12]}>"

    async def inspect(self) -> ContainerInspectResponse:
        """Return the full record."""
        record: ContainerInspectResponse = await self._engine.drive(steps.inspect(self.id))
        return record

    async def logs(self, *, tail: str = "all") -> bytes:
        """Return what it wrote so far."""
        return await self._engine.drive(steps.logs(self.id, tail=tail))

    async def follow(self) -> AsyncIterator[bytes]:
        """Yield what it writes, from the beginning, until it ends."""
        tty = await self._engine.drive(steps.has_terminal(self.id))
        frames = FrameReader()
        async for chunk in self._engine.stream(steps.logs_call(self.id, follow=True)):
            for payload in [chunk] if tty else [payload for _, payload in frames.feed(chunk)]:
                yield payload

    async def exec(self, command: Command, **options: Unpack[ExecKeywords]) -> ExecResult:
        """Run one more process in it to its end."""
        return await self._engine.drive(steps.execute(self.id, command, RunOptions(**options)))

    async def wait(self) -> int:
        """Wait until it does not run and return its exit status."""
        return await self._engine.drive(steps.wait(self.id))

    async def kill(self, signal: str = "") -> None:
        """Send a signal to its init process, by name or number; SIGKILL if none is given."""
        query = ContainerKillQuery(signal=signal)
        await self._engine.perform(call(endpoints.CONTAINER_KILL, path={"id": self.id}, query=query))

    async def stop(self, *, grace: int | None = None) -> None:
        """Send its stop signal, and SIGKILL after `grace` seconds."""
        query = ContainerStopQuery(t=grace)
        await self._engine.perform(call(endpoints.CONTAINER_STOP, path={"id": self.id}, query=query))

    async def remove(self, *, force: bool = False, volumes: bool = True) -> None:
        """Remove it and its anonymous volumes; one that is gone is no error."""
        await self._engine.drive(steps.remove(self.id, force=force, volumes=volumes))


class AsyncEngine:
    """A connection to an engine; see `moorage.client.blocking.Engine`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.images = AsyncImages(self)
        self.volumes = AsyncVolumes(self)

    def __repr__(self) -> str:
        return f"<AsyncEngine at {self.connection.address.text}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is kept open between calls, so there is nothing to close."""

    async def run(self, image: str, command: Command | None = None, **options: Unpack[RunKeywords]) -> bytes:
        """Run a container to its end and return what it wrote; then it is gone.

        Raises:
            ContainerFailedError: It ended with another status than 0.
        """
        return await self.drive(steps.run(image, command, RunOptions(**options)))

    async def start(self, image: str, command: Command | None = None, **options: Unpack[RunKeywords]) -> AsyncContainer:
        """Start a container in the background."""
        return AsyncContainer(self, await self.drive(steps.start(image, command, RunOptions(**options))))

    def container(self, name: str) -> AsyncContainer:
        """Return a container by name or ID; whether it exists shows at its first call."""
        return AsyncContainer(self, name)

    async def containers(self, *, all: bool = False) -> list[ContainerSummary]:  # noqa: A002 - the flag's own name
        """Return the running containers, or all of them."""
        return await self.perform(call(endpoints.CONTAINER_LIST, query=ContainerListQuery(all=all)))

    async def perform(self, request: Call[ResultT]) -> ResultT:
        """Make one call of the Engine API and return its result."""
        async with self.connection.begin(request) as exchange:
            return decode(request, status=(await exchange.head()).status, body=await exchange.body())

    async def stream(self, request: Call[Any]) -> AsyncIterator[bytes]:
        """Make one call whose answer is a stream and yield its bytes."""
        async with self.connection.begin(request) as exchange:
            async for chunk in exchange.chunks():
                yield chunk

    async def drive(self, sequence: Steps[ResultT]) -> ResultT:
        """Run a sequence of calls to its result."""
        try:
            request = next(sequence)
            while True:
                try:
                    outcome = await self._outcome(request)
                except BaseException as error:  # noqa: BLE001 - the sequence decides what it means, an interrupt too
                    request = sequence.throw(error)
                else:
                    request = sequence.send(outcome)
        except StopIteration as end:
            result: ResultT = end.value
            return result

    async def _outcome(self, request: Call[Any] | Gather) -> Any:
        if isinstance(request, Gather):
            return b"".join([chunk async for chunk in self.stream(request.call)])
        return await self.perform(request)
