"""What the Python client does, as sequences of calls that know nothing of sockets.

Each function is a generator: it yields a request, is sent that request's outcome, and
returns its result. The blocking and the asynchronous client drive the same generators, so
there is one place that says how to run a container.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, TypeVar

from moorage.api import containers, endpoints
from moorage.api.containers import ContainerCreateRequest
from moorage.api.exec import ExecCreateRequest, ExecStartRequest
from moorage.api.host_config import HostConfig, PortBinding, RestartPolicy
from moorage.api.images import ImageCreateQuery
from moorage.api.progress import ProgressMessage
from moorage.api.streams import FrameReader, LineReader, StreamID
from moorage.client.calls import Call, call
from moorage.client.errors import ContainerFailedError
from moorage.errors import InvalidParameterError, NotFoundError, SystemFailureError

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Gather:
    """A request whose answer is a stream that is wanted whole, as bytes."""

    call: Call[Any]


Steps = Generator[Call[Any] | Gather, Any, ResultT]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run a container; every field is optional, as with ``docker run``.

    Attributes:
        environment: Variables added to the image's.
        ports: Container ports (``80`` or ``"53/udp"``) to host ports; 0 takes a free one.
        volumes: Volume names or host paths to paths inside; append ``:ro`` to the latter
            for read-only.
        memory: Bytes.
        cpus: Processors, for example 0.5.
        network: A network's name, ``host``, ``none`` or ``container:NAME``.
        restart: ``no``, ``always``, ``unless-stopped``, ``on-failure[:N]`` or ``on-unhealthy[:N]``.
        remove: Remove the container when it ends.
    """

    name: str = ""
    entrypoint: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[int | str, int] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = ""
    hostname: str = ""
    memory: int = 0
    cpus: float = 0
    network: str = ""
    restart: str = "no"
    read_only: bool = False
    privileged: bool = False
    init: bool = False
    remove: bool = False


class ExecKeywords(TypedDict, total=False):
    """The fields of `RunOptions` that an added process can have of its own, as keyword arguments."""

    environment: Mapping[str, str]
    user: str
    workdir: str
    privileged: bool


class RunKeywords(ExecKeywords, total=False):
    """The fields of `RunOptions` as keyword arguments."""

    name: str
    entrypoint: Sequence[str] | None
    ports: Mapping[int | str, int]
    volumes: Mapping[str, str]
    labels: Mapping[str, str]
    hostname: str
    memory: int
    cpus: float
    network: str
    restart: str
    read_only: bool
    init: bool
    remove: bool


Command = str | Sequence[str]
"""Program and arguments; a string is split into words as a shell does, and nothing else of a shell's."""


def words_of(command: Command | None) -> list[str] | None:
    """Return a command as the API takes it; None, or nothing, is the image's own.

    Raises:
        InvalidParameterError: A quotation does not end.
    """
    if not isinstance(command, str):
        return list(command or ()) or None
    # The command line needs this module too, and never this.
    from shlex import split  # noqa: PLC0415

    try:
        return split(command) or None
    except ValueError as error:
        raise InvalidParameterError(f"malformed command {command!r}: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """How an added process ended, and what it wrote."""

    exit_code: int
    stdout: bytes
    stderr: bytes


def create_request(image: str, command: Command | None, options: RunOptions) -> ContainerCreateRequest:
    """Return the body of a create for these options.

    Raises:
        InvalidParameterError: The restart policy or the command can't be read.
    """
    ports = {_port(port): host for port, host in options.ports.items()}
    host_config = HostConfig(
        binds=[f"{source}:{destination}" for source, destination in options.volumes.items()],
        port_bindings={port: [PortBinding(host_port=str(host or ""))] for port, host in ports.items()},
        network_mode=options.network or "default",
        memory=options.memory,
        nano_cpus=int(options.cpus * 1_000_000_000),
        restart_policy=restart_policy(options.restart),
        readonly_rootfs=options.read_only,
        privileged=options.privileged,
        init=options.init or None,
        auto_remove=options.remove,
    )
    return ContainerCreateRequest(
        image=image,
        cmd=words_of(command),
        entrypoint=list(options.entrypoint) if options.entrypoint is not None else None,
        env=[f"{name}={value}" for name, value in options.environment.items()],
        exposed_ports={port: {} for port in ports},
        labels=dict(options.labels),
        user=options.user,
        working_dir=options.workdir,
        hostname=options.hostname,
        host_config=host_config,
    )


def _port(port: int | str) -> str:
    text = str(port)
    return text if "/" in text else f"{text}/tcp"


def restart_policy(text: str) -> RestartPolicy:
    """Return a restart policy given as ``NAME`` or ``NAME:COUNT``, as on-failure:3.

    Raises:
        InvalidParameterError: The count is no number, or there is no name before it.
    """
    name, separator, count = text.partition(":")
    if separator and not name:
        raise InvalidParameterError("invalid restart policy format: no policy provided before colon")
    try:
        return RestartPolicy(name=name, maximum_retry_count=int(count or 0))
    except ValueError:
        raise InvalidParameterError("invalid restart policy format: maximum retry count must be an integer") from None


def create(image: str, command: Command | None, options: RunOptions) -> Steps[str]:
    """Create a container, pulling its image if it is missing; return the ID."""
    request = call(
        endpoints.CONTAINER_CREATE,
        query=containers.ContainerCreateQuery(name=options.name),
        body=create_request(image, command, options),
    )
    try:
        created = yield request
    except NotFoundError as error:
        if "No such image" not in str(error):
            raise
        yield from pull(image)
        created = yield request
    identity: str = created.id
    return identity


def start(image: str, command: Command | None, options: RunOptions) -> Steps[str]:
    """Create and start a container; return the ID. A container that can't start is removed."""
    identity = yield from create(image, command, options)
    try:
        yield call(endpoints.CONTAINER_START, path={"id": identity})
    except BaseException:
        yield from remove(identity, force=True)
        raise
    return identity


def run(image: str, command: Command | None, options: RunOptions) -> Steps[bytes]:
    """Run a container to its end and return what it wrote; it is removed in any case.

    Raises:
        ContainerFailedError: It ended with another status than 0.
    """
    identity = yield from start(image, command, options)
    try:
        exit_code = yield from wait(identity)
        output = yield from logs(identity)
    finally:
        yield from remove(identity, force=True)
    if exit_code != 0:
        raise ContainerFailedError(" ".join(words_of(command) or [image]), exit_code=exit_code, output=output)
    return output


def wait(container: str) -> Steps[int]:
    """Wait until a container does not run and return its exit status."""
    response = yield call(endpoints.CONTAINER_WAIT, path={"id": container})
    exit_code: int = response.status_code
    return exit_code


def remove(container: str, *, force: bool = False, volumes: bool = True) -> Steps[None]:
    """Remove a container and its anonymous volumes; one that is gone is no error."""
    query = containers.ContainerDeleteQuery(force=force, v=volumes)
    try:
        yield call(endpoints.CONTAINER_DELETE, path={"id": container}, query=query)
    except NotFoundError:
        return


def inspect(container: str) -> Steps[Any]:
    """Return a container's full record."""
    return (yield call(endpoints.CONTAINER_INSPECT, path={"id": container}))


def has_terminal(container: str) -> Steps[bool]:
    """Return whether a container's output is a terminal's: one stream, without frames."""
    record = yield from inspect(container)
    tty: bool = record.config.tty
    return tty


def logs_call(container: str, *, follow: bool = False, tail: str = "all") -> Call[Any]:
    """Return the request for a container's output."""
    query = containers.ContainerLogsQuery(stdout=True, stderr=True, follow=follow, tail=tail)
    return call(endpoints.CONTAINER_LOGS, path={"id": container}, query=query)


def logs(container: str, *, tail: str = "all") -> Steps[bytes]:
    """Return what a container wrote, both streams as they came."""
    tty = yield from has_terminal(container)
    body: bytes = yield Gather(logs_call(container, tail=tail))
    return body if tty else b"".join(payload for _, payload in FrameReader().feed(body))


def execute(container: str, command: Command, options: RunOptions) -> Steps[ExecResult]:
    """Run one more process in a running container to its end."""
    request = ExecCreateRequest(
        cmd=words_of(command) or [],
        attach_stdout=True,
        attach_stderr=True,
        user=options.user,
        working_dir=options.workdir,
        env=[f"{name}={value}" for name, value in options.environment.items()],
        privileged=options.privileged,
    )
    identity = (yield call(endpoints.CONTAINER_EXEC, path={"id": container}, body=request)).id
    body: bytes = yield Gather(call(endpoints.EXEC_START, path={"id": identity}, body=ExecStartRequest()))
    state = yield call(endpoints.EXEC_INSPECT, path={"id": identity})
    frames = list(FrameReader().feed(body))
    return ExecResult(
        exit_code=state.exit_code or 0,
        stdout=b"".join(payload for stream, payload in frames if stream is StreamID.STDOUT),
        stderr=b"".join(payload for stream, payload in frames if stream is StreamID.STDERR),
    )


def pull_call(reference: str, *, platform: str = "") -> Call[Any]:
    """Return the request for a pull; a reference without a tag means ``latest``."""
    name, tag = split_tag(reference)
    query = ImageCreateQuery(from_image=name, tag=tag, platform=platform)
    return call(endpoints.IMAGE_CREATE, query=query)


def pull(reference: str, *, platform: str = "") -> Steps[None]:
    """Pull an image.

    Raises:
        SystemFailureError: The pull failed; the text is the engine's.
    """
    body: bytes = yield Gather(pull_call(reference, platform=platform))
    lines = LineReader(ProgressMessage)
    for message in (*lines.feed(body), *lines.finish()):
        if message.error:
            raise SystemFailureError(message.error)


def split_tag(reference: str) -> tuple[str, str]:
    """Split a reference into its name and its tag or digest; ``latest`` if it has neither."""
    name, separator, digest = reference.partition("@")
    if separator:
        return name, digest
    name, separator, tag = reference.rpartition(":")
    if separator and "/" not in tag:
        return name, tag
    return reference, "latest"
