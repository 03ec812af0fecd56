"""A whole engine without a kernel: real registry and services, and fakes at every edge.

The fake shim does what a test tells it to; the database is real, because half of the
rules are about what is durable when.
"""

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from moorage.api.containers import ContainerConfig, PortSummary
from moorage.api.host_config import HostConfig
from moorage.api.networks import EndpointSettings
from moorage.engine.containers.attaching import PendingAttaches
from moorage.engine.containers.bundling import Bundle
from moorage.engine.containers.checkpointing import Checkpointer
from moorage.engine.containers.exiting import ContainerExits, ExitHooks
from moorage.engine.containers.image_mounts import ImageMounts
from moorage.engine.containers.killing import ContainerKiller
from moorage.engine.containers.locks import ContainerLocks
from moorage.engine.containers.memory_volumes import MemoryVolumes
from moorage.engine.containers.mounting import MountPreparer
from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.containers.records import ContainerDefinition, ContainerRecord, ContainerState
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.removing import ContainerRemover
from moorage.engine.containers.starting import ContainerStarter
from moorage.engine.containers.stopping import ContainerStopper
from moorage.engine.containers.tasks import Tasks
from moorage.engine.containers.waiting import ExitWatch
from moorage.engine.events import EventBus
from moorage.engine.host_paths import HostPaths
from moorage.engine.jobs import Jobs
from moorage.engine.launching import AttachedClient
from moorage.engine.restarting import RestartSupervisor
from moorage.engine.shims import ShimClient, ShimHandlers
from moorage.errors import MoorageError
from moorage.images.errors import ImageNotFoundError
from moorage.networks.models import Attachment, ContainerNetworks, Sandbox, SandboxRequest
from moorage.networks.sandboxes import OpenedSandbox
from moorage.oci.digest import ChainID
from moorage.snapshots.jobs import Looked
from moorage.snapshots.rootfs import OverlayRootfs
from moorage.state.containers import ContainerRows
from moorage.state.database import Database
from moorage.state.migrations import MIGRATIONS
from moorage.volumes.models import Volume, VolumeInUseError, VolumeNotFoundError

ID = "a" * 64
SECOND = 1_000_000_000


def record(
    container_id: str = ID, name: str = "web", *, config: Mapping[str, Any] | None = None,
    host: Mapping[str, Any] | None = None, state: ContainerState | None = None, **definition: Any,
) -> ContainerRecord:  # fmt: skip
    """Return a record; every argument replaces a default."""
    return ContainerRecord(
        id=container_id,
        name=name,
        definition=ContainerDefinition(
            **{
                "created_ns": 1,
                "image": "busybox",
                "image_id": "sha256:" + "1" * 64,
                "chain_ids": (),
                "config": ContainerConfig(**{"cmd": ["true"], **(config or {})}),
                "host_config": HostConfig(**{"network_mode": "bridge", **(host or {})}),
                **definition,
            }
        ),
        state=state or ContainerState(),
    )


@dataclass
class FakeNetworks:
    """Networks that count what is open; `refusal` is raised by the next opening."""

    open: set[str] = field(default_factory=set)
    refusal: MoorageError | None = None
    renamed: list[tuple[str, str]] = field(default_factory=list)

    def by_name(self, attachments: Sequence[Attachment]) -> tuple[Attachment, ...]:
        return tuple(attachments)

    def validate(self, request: SandboxRequest) -> None:
        return

    def open_sandbox(self, request: SandboxRequest) -> OpenedSandbox:
        if self.refusal is not None:
            raise self.refusal
        self.open.add(request.container_id)
        sandbox = Sandbox(id="5" * 64, container_id=request.container_id, container_name=request.container_name)
        return OpenedSandbox(sandbox, ())

    def close_sandbox(self, container_id: str) -> None:
        self.open.discard(container_id)

    def launch_fields(self, sandbox: Sandbox) -> dict[str, object]:
        return {}

    def files(self, request: SandboxRequest, sandbox: Sandbox | None) -> dict[str, str]:
        return {}

    def endpoint_settings(self, container: ContainerNetworks) -> dict[str, EndpointSettings]:
        return {"bridge": EndpointSettings(network_id="b" * 64)}

    def network_settings(self, container: ContainerNetworks, *, api_version: tuple[int, int]) -> Any:
        raise NotImplementedError

    def port_summaries(self, container: ContainerNetworks) -> list[PortSummary]:
        return []

    def sandbox(self, container_id: str) -> Sandbox | None:
        return None

    def rename(self, container_id: str, name: str, attachments: Sequence[Attachment]) -> None:
        self.renamed.append((container_id, name))


@dataclass
class FakeVolumes:
    """Volumes by name."""

    root: Path
    users: ContainerRegistry
    volumes: dict[str, Volume] = field(default_factory=dict)

    async def create(
        self, name: str | None = None, *, driver: str = "local", options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:  # fmt: skip
        name = name or f"anonymous{len(self.volumes)}"
        mountpoint = str(self.root / name)
        return self.volumes.setdefault(name, Volume(name=name, created_at="", mountpoint=mountpoint))

    def get(self, name: str) -> Volume:
        if name not in self.volumes:
            raise VolumeNotFoundError(name)
        return self.volumes[name]

    async def remove(self, name: str, *, force: bool = False) -> None:
        users = tuple(
            each.id
            for each in self.users.all()
            if not each.state.dead and any(mount.name == name for mount in each.definition.mounts)
        )
        if users:
            raise VolumeInUseError(name, users)
        self.get(name)
        del self.volumes[name]


class NoImages:
    """No image is here."""

    def resolve(self, reference: str, **_: object) -> Any:
        raise ImageNotFoundError(reference)

    def children(self, image_id: str) -> Sequence[Any]:
        return []


@dataclass
class FakeSnapshots:
    """Container directories, made and removed."""

    root: Path

    marked = False
    served = False

    def image_directories(self, chain_id: ChainID | None) -> Sequence[Path]:
        return [self.root]

    def lower_dirs(self, chain_id: ChainID) -> Sequence[Path]:
        return []

    async def prepare_container(self, container_id: str, chain_id: ChainID | None) -> OverlayRootfs:
        (self.root / container_id).mkdir(parents=True)
        return self.container_rootfs(container_id, chain_id)

    def container_rootfs(self, container_id: str, chain_id: ChainID | None) -> OverlayRootfs:
        return OverlayRootfs(lower=(), upper=self.root / container_id / "upper", work=self.root / container_id / "work")

    async def remove_container(self, container_id: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.root / container_id).rmdir()

    def total_size(self, chain_id: ChainID) -> int:
        return 0


class FakeFiles:
    """File jobs that find nothing to do."""

    async def copy_up(self, rootfs: Any, *, path: str, volume: Path) -> bool:
        return False

    async def make_directory(self, rootfs: Any, path: str) -> None:
        return

    async def disk_usage(self, path: Path) -> int:
        return 0

    async def relabel(self, path: Path, label: str) -> None:
        return

    async def look(self, *, paths: Sequence[str] = (), directories: Sequence[str] = ()) -> Looked:
        return Looked()


class FakeBundler:
    """Bundles with nothing in them."""

    def make(self, record: ContainerRecord, sandbox: Sandbox | None) -> Bundle:
        return Bundle(spec={"process": {}}, launch={"id": record.id})

    def volume_failure(self, record: ContainerRecord, cause: str) -> str:
        return ""


class FakeShim:
    """The other end of a control socket: answers requests, and says what a test wants.

    Attributes:
        requests: What was asked, in order.
    """

    def __init__(self, connection: socket.socket, *, lethal: set[int], pid: int = 4242) -> None:
        """Begin to listen.

        Args:
            lethal: Signals that end the container.
        """
        connection.setblocking(False)
        self.requests: list[dict[str, Any]] = []
        self.clients = 0
        self._connection = connection
        self._lethal = lethal
        self._pid = pid
        self.running = False
        asyncio.get_running_loop().add_reader(connection.fileno(), self._read)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._connection.fileno())
        self._connection.close()

    def say(self, **message: Any) -> None:
        with contextlib.suppress(OSError):
            self._connection.send(msgspec.json.encode(message))

    def start(self) -> None:
        self.running = True
        self.say(event="started", pid=self._pid, at=10 * SECOND)

    def fail(self, message: str, exit_code: int) -> None:
        self.say(event="failed", error={"kind": "start", "message": message, "exit_code": exit_code})

    def exit(self, code: int, *, at: int = 11 * SECOND) -> None:
        self.running = False
        self.say(event="exited", exit_code=code, at=at, oom_killed=False)

    def done(self) -> list[str]:
        return [request["do"] for request in self.requests]

    def _read(self) -> None:
        try:
            data = self._connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        request = msgspec.json.decode(data)
        self.requests.append(request)
        self._answer(request)

    def _answer(self, request: dict[str, Any]) -> None:
        if request["do"] in {"kill", "pause", "resume"} and not self.running:
            self.say(seq=request["seq"], error={"kind": "not_running", "message": "it is over"})
            return
        self.say(seq=request["seq"], ok=True, pid=77)
        if request["do"] == "kill" and request["signal"] in self._lethal:
            self.exit(128 + request["signal"])


@dataclass
class FakeLauncher:
    """Starts fake shims; `script` is what the next one does when it is started."""

    lethal: set[int] = field(default_factory=lambda: {9, 15})
    script: str = "start"
    shims: list[FakeShim] = field(default_factory=list)
    _awaited: asyncio.Future[None] | None = None

    def next_start(self) -> "asyncio.Future[None]":
        """Return what is done when the next shim is started."""
        self._awaited = asyncio.get_running_loop().create_future()
        return self._awaited

    def start_shim(
        self, bundle: Path, *, subject: str, forwards: Sequence[socket.socket] = (),
        attaches: Sequence[AttachedClient] = (), handlers: ShimHandlers,
    ) -> ShimClient:  # fmt: skip
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        shim = FakeShim(theirs, lethal=self.lethal)
        shim.clients = len(attaches)
        self.shims.append(shim)
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_result(None)
        if self.script == "start":
            shim.start()
        elif self.script == "die":
            shim.close()
        elif self.script == "fail":
            shim.fail('exec: "nosuch": executable file not found in $PATH', 127)
        return ShimClient(ours, subject=subject, handlers=handlers)

    @property
    def shim(self) -> FakeShim:
        return self.shims[-1]


class FakeLastResort:
    """Nothing ends by force here."""

    async def kill(self, record: ContainerRecord, task: Any) -> None:
        return

    def kill_shim(self, record: ContainerRecord, task: Any) -> None:
        task.give_up()


class FakeLeftovers:
    """Nothing is ever left; `cleared` says of which containers that was wanted."""

    def __init__(self) -> None:
        self.cleared: list[str] = []

    def resume(self) -> None:
        return

    async def clear(self, record: ContainerRecord) -> None:
        self.cleared.append(record.id)


async def _no_stranger(_container_id: str) -> None:
    return None


async def _nothing(_record: ContainerRecord) -> None:
    return


@dataclass
class FakeEngine:
    """The services under test, wired as the daemon wires them."""

    root: Path
    database: Database
    registry: ContainerRegistry
    bus: EventBus = field(default_factory=EventBus)
    jobs: Jobs = field(default_factory=Jobs)
    locks: ContainerLocks = field(default_factory=ContainerLocks)
    tasks: Tasks = field(default_factory=Tasks)
    watch: ExitWatch = field(default_factory=ExitWatch)
    networks: FakeNetworks = field(default_factory=FakeNetworks)
    launcher: FakeLauncher = field(default_factory=FakeLauncher)
    pending: PendingAttaches = field(default_factory=PendingAttaches)

    def __post_init__(self) -> None:
        self.paths = ContainerPaths(self.root / "data", self.root / "run")
        self.paths.containers.mkdir(parents=True)
        self.paths.bundles.mkdir(parents=True)
        self.snapshots = FakeSnapshots(self.paths.containers)
        self.volumes = FakeVolumes(self.root, self.registry)
        self.restarts = RestartSupervisor(self.jobs)
        memory_volumes = MemoryVolumes(registry=self.registry, volumes=self.volumes)
        images = ImageMounts(NoImages(), self.snapshots)
        self.mounts = MountPreparer(self.volumes, FakeFiles(), memory_volumes, images, data_root="/var/lib/moorage")
        self.exits = ContainerExits(
            registry=self.registry, locks=self.locks, tasks=self.tasks, networks=self.networks, paths=self.paths,
            events=self.bus, watch=self.watch, jobs=self.jobs, restarts=self.restarts, hooks=lambda: self.hooks,
        )  # fmt: skip
        self.killer = ContainerKiller(
            registry=self.registry, locks=self.locks, tasks=self.tasks, events=self.bus, watch=self.watch,
            restarts=self.restarts, last_resort=FakeLastResort(),  # type: ignore[arg-type]  # it has what is used
            on_resumed=lambda _: None,
        )  # fmt: skip
        self.stopper = ContainerStopper(
            registry=self.registry, killer=self.killer, events=self.bus, watch=self.watch, jobs=self.jobs
        )
        self.remover = ContainerRemover(
            registry=self.registry, locks=self.locks, killer=self.killer, attaches=self.pending,
            snapshots=self.snapshots, mounts=self.mounts, paths=self.paths, events=self.bus, watch=self.watch,
            jobs=self.jobs, forget=lambda _: None, end_stranger=_no_stranger,
        )  # fmt: skip
        self.checkpointer = Checkpointer(
            registry=self.registry, locks=self.locks, tasks=self.tasks, watch=self.watch, paths=self.paths,
            events=self.bus, enabled=True,
        )  # fmt: skip
        self.starter = ContainerStarter(
            checkpoints=self.checkpointer, expect_move=lambda: None,
            registry=self.registry, locks=self.locks, tasks=self.tasks, observer=self.exits, attaches=self.pending,
            networks=self.networks, bundler=FakeBundler(),  # type: ignore[arg-type]  # it has the one method needed
            paths=self.paths, launcher=self.launcher, host_paths=HostPaths(FakeFiles()),
            leftovers=FakeLeftovers(),  # type: ignore[arg-type]  # likewise
            events=self.bus, jobs=self.jobs, restarts=self.restarts,
            on_started=lambda _: None, auto_remove=self.remover.auto_remove, memory_volumes=memory_volumes,
        )  # fmt: skip
        self.hooks = ExitHooks(
            restart=self.starter.restart, auto_remove=self.remover.remove_exited, stopped=lambda _: None,
            exec_exited=lambda *_: None, execs_under_way=lambda _: [], execs_lost=lambda *_: None,
            clear_leftovers=_nothing, clear_soon=_nothing,
        )  # fmt: skip

    async def add(self, new: ContainerRecord) -> ContainerRecord:
        """Record a container as a creation would."""
        self.registry.reserve_name(new.name, new.id)
        await self.registry.add(new)
        (self.paths.directory(new.id)).mkdir()
        return new

    async def run(self, new: ContainerRecord) -> FakeShim:
        """Record a container and start it."""
        await self.add(new)
        await self.starter.start(new.id)
        return self.launcher.shim

    def actions(self) -> list[str]:
        """Return what was published so far."""
        with self.bus.subscribe(since_ns=0, live=False) as subscription:
            return [event.action for event in subscription._pending]

    def stored(self) -> dict[str, ContainerRecord]:
        """Return what a new daemon would read."""
        fresh = ContainerRegistry(ContainerRows(self.database))
        fresh.load()
        return {each.id: each for each in fresh.all()}


@contextlib.asynccontextmanager
async def fake_engine(root: Path) -> AsyncIterator[FakeEngine]:
    """Have an engine for a block; every job it started has ended afterwards."""
    database = Database.open(root / "moorage.db", migrations=MIGRATIONS)
    engine = FakeEngine(root, database, ContainerRegistry(ContainerRows(database)))
    try:
        yield engine
    finally:
        engine.restarts.cancel_all()
        await engine.jobs.finish(timeout=5)
        engine.tasks.close()
        for shim in engine.launcher.shims:
            with contextlib.suppress(OSError, ValueError):
                shim.close()
        await database.close()


def changed(old: ContainerRecord, **state: Any) -> ContainerRecord:
    """Return a record with another state."""
    return dataclasses.replace(old, state=dataclasses.replace(old.state, **state))
