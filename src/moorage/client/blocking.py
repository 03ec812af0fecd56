"""The blocking Python client: what ``moorage.connect()`` returns."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from moorage.api import endpoints, images, volumes
from moorage.api.container_state import ContainerInspectResponse
from moorage.api.containers import ContainerKillQuery, ContainerListQuery, ContainerStopQuery, ContainerSummary
from moorage.api.filters import Filters
from moorage.api.streams import FrameReader
from moorage.client import steps
from moorage.client.calls import Call, call, decode
from moorage.client.connection import Connection
from moorage.client.steps import Command, ExecKeywords, ExecResult, Gather, RunKeywords, RunOptions, Steps

ResultT = TypeVar("ResultT")


class Images:
    """The engine's images."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def pull(self, reference: str, *, platform: str = "") -> None:
        """Pull an image; without a tag, ``latest``.

        Raises:
            MoorageError: The registry or the engine refused.
        """
        self._engine.drive(steps.pull(reference, platform=platform))

    def list(self, *, filters: Mapping[str, Sequence[str]] | None = None) -> list[images.ImageSummary]:
        """Return the images, newest first."""
        query = images.ImageListQuery(filters=Filters({key: tuple(value) for key, value in (filters or {}).items()}))
        return self._engine.perform(call(endpoints.IMAGE_LIST, query=query))

    def remove(self, reference: str, *, force: bool = False) -> None:
        """Remove a tag, and the image with its last one.

        Raises:
            ConflictError: A container uses it.
        """
        query = images.ImageDeleteQuery(force=force)
        self._engine.perform(call(endpoints.IMAGE_DELETE, path={"name": reference}, query=query))


class Volumes:
    """The engine's volumes."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def create(self, name: str = "", *, labels: Mapping[str, str] | None = None) -> volumes.Volume:
        """Create a volume; without a name, an anonymous one."""
        body = volumes.VolumeCreateRequest(name=name, labels=dict(labels or {}))
        return self._engine.perform(call(endpoints.VOLUME_CREATE, body=body))

    def list(self) -> list[volumes.Volume]:
        """Return every volume."""
        return self._engine.perform(call(endpoints.VOLUME_LIST)).volumes or []

    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a volume and its data.

        Raises:
            ConflictError: A container uses it.
        """
        query = volumes.VolumeDeleteQuery(force=force)
        self._engine.perform(call(endpoints.VOLUME_DELETE, path={"name": name}, query=query))


class Container:
    """One container; methods ask the engine anew each time.

    Attributes:
        id: 64 hex digits, or whatever name it was asked for by.
    """

    def __init__(self, engine: "Engine", identity: str) -> None:
        self._engine = engine
        self.id = identity

    def __repr__(self) -> str:
        return f"<Container {self.id[:12]}>"

    def inspect(self) -> ContainerInspectResponse:
        """Return the full record: state, configuration, networks, ports."""
        record: ContainerInspectResponse = self._engine.drive(steps.inspect(self.id))
        return record

    def logs(self, *, tail: str = "all") -> bytes:
        """Return what it wrote so far, both streams as they came."""
        return self._engine.drive(steps.logs(self.id, tail=tail))

    def follow(self) -> Iterator[bytes]:
        """Yield what it writes, from the beginning, until it ends."""
        tty = self._engine.drive(steps.has_terminal(self.id))
        frames = FrameReader()
        for chunk in self._engine.stream(steps.logs_call(self.id, follow=True)):
            if tty:
                yield chunk
            else:
                yield from (payload for _, payload in frames.feed(chunk))

    def exec(self, command: Command, **options: Unpack[ExecKeywords]) -> ExecResult:
        """Run one more process in it to its end.

        Args:
            command: Program and arguments; a string is split into words.
            **options: ``user``, ``workdir``, ``environment`` and ``privileged`` of `RunOptions`.
        """
        return self._engine.drive(steps.execute(self.id, command, RunOptions(**options)))

    def wait(self) -> int:
        """Wait until it does not run and return its exit status."""
        return self._engine.drive(steps.wait(self.id))

    def kill(self, signal: str = "") -> None:
        """Send a signal to its init process, by name or number; SIGKILL if none is given."""
        query = ContainerKillQuery(signal=signal)
        self._engine.perform(call(endpoints.CONTAINER_KILL, path={"id": self.id}, query=query))

    def stop(self, *, grace: int | None = None) -> None:
        """Send its stop signal, and SIGKILL after `grace` seconds."""
        query = ContainerStopQuery(t=grace)
        self._engine.perform(call(endpoints.CONTAINER_STOP, path={"id": self.id}, query=query))

    def remove(self, *, force: bool = False, volumes: bool = True) -> None:
        """Remove it and its anonymous volumes; one that is gone is no error."""
        self._engine.drive(steps.remove(self.id, force=force, volumes=volumes))


class Engine:
    """A connection to an engine; use it in a ``with`` or keep it as long as you like."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.images = Images(self)
        self.volumes = Volumes(self)

    def __repr__(self) -> str:
        return f"<Engine at {self.connection.address.text}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is kept open between calls, so there is nothing to close."""

    def run(self, image: str, command: Command | None = None, **options: Unpack[RunKeywords]) -> bytes:
        """Run a container to its end and return what it wrote; then it is gone.

        Args:
            image: A reference; it is pulled if it is missing.
            command: Program and arguments; a string is split into words, None takes the image's.
            **options: The fields of `RunOptions`.

        Raises:
            ContainerFailedError: It ended with another status than 0.
            MoorageError: The engine refused; the kind says why.
        """
        return self.drive(steps.run(image, command, RunOptions(**options)))

    def start(self, image: str, command: Command | None = None, **options: Unpack[RunKeywords]) -> Container:
        """Start a container in the background; arguments as for `run`."""
        return Container(self, self.drive(steps.start(image, command, RunOptions(**options))))

    def container(self, name: str) -> Container:
        """Return a container by name or ID; whether it exists shows at its first call."""
        return Container(self, name)

    def containers(self, *, all: bool = False) -> list[ContainerSummary]:  # noqa: A002 - the flag's own name
        """Return the running containers, or all of them."""
        return self.perform(call(endpoints.CONTAINER_LIST, query=ContainerListQuery(all=all)))

    def perform(self, request: Call[ResultT]) -> ResultT:
        """Make one call of the Engine API and return its result."""
        return self.connection.perform(request)

    def stream(self, request: Call[Any]) -> Iterator[bytes]:
        """Make one call whose answer is a stream and yield its bytes."""
        with self.connection.begin(request) as exchange:
            yield from exchange.checked().chunks()

    def drive(self, sequence: Steps[ResultT]) -> ResultT:
        """Run a sequence of calls to its result."""
        return _drive(sequence, self.connection)


def _drive(sequence: Generator[Call[Any] | Gather, Any, ResultT], connection: Connection) -> ResultT:
    try:
        request = next(sequence)
        while True:
            try:
                outcome = _perform(connection, request)
            except BaseException as error:  # noqa: BLE001 - the sequence decides what it means, an interrupt too
                request = sequence.throw(error)
            else:
                request = sequence.send(outcome)
    except StopIteration as end:
        result: ResultT = end.value
        return result


def _perform(connection: Connection, request: Call[Any] | Gather) -> Any:
    if isinstance(request, Gather):
        with connection.begin(request.call) as exchange:
            return exchange.checked().body()
    with connection.begin(request) as exchange:
        return decode(request, status=exchange.head().status, body=exchange.body())
