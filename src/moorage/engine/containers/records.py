"""What the engine remembers of a container between two requests.

A record has three parts that change at different times: the definition (what was asked
for at creation; changed by update and by joining networks), the name, and the state
(changed by every start, exit and pause). Each part is stored on its own, so that an exit
writes a few hundred bytes and not the whole of `HostConfig`.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from moorage.api.containers import ContainerConfig
from moorage.api.host_config import HostConfig
from moorage.engine.bundles.mounts import PlannedMount
from moorage.engine.selinux.context import Labels
from moorage.engine.userns.mapping import IdMapping
from moorage.networks.models import Attachment, Sandbox


class ContainerStatus(enum.StrEnum):
    """Values of `State.Status` in the Engine API."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


class HealthStatus(enum.StrEnum):
    """Values of `State.Health.Status`."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """One run of a health check; times in nanoseconds since the epoch."""

    start_ns: int
    end_ns: int
    exit_code: int
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What the health checks of a container found.

    Attributes:
        log: The last five results, oldest first.
    """

    status: HealthStatus = HealthStatus.STARTING
    failing_streak: int = 0
    log: tuple[ProbeResult, ...] = ()

    def unwatched(self) -> "Health":
        """Return it as it is shown while nobody probes: Docker calls that unhealthy."""
        return replace(self, status=HealthStatus.UNHEALTHY)

    def of_next_run(self) -> "Health":
        """Return what the next run of the container begins with: the results stay to be read."""
        return Health(log=self.log)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """What a container is doing.

    The flags are Docker's and not exclusive: a paused container is running too, and so
    is one that waits for its next restart.

    Attributes:
        exit_code: Of the last run; also set by a start that failed.
        error: Why the last start failed, or why the exit is not the process's own.
        started_at_ns: Nanoseconds since the epoch; 0 if it never ran.
        finished_at_ns: Likewise; 0 if it never exited.
        manually_stopped: A user stopped it, so its restart policy rests.
        held: The engine freezes it for a moment, for a purpose of its own; a daemon that is killed
            meanwhile leaves it to the next one to let it go on.
        sandbox: Its network while it runs; what a restarted daemon rebuilds from.
        backoff: Seconds that the restart policy last waited.
    """

    running: bool = False
    paused: bool = False
    held: bool = False
    restarting: bool = False
    removing: bool = False
    dead: bool = False
    oom_killed: bool = False
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    started_at_ns: int = 0
    finished_at_ns: int = 0
    restart_count: int = 0
    manually_stopped: bool = False
    started_before: bool = False
    backoff: float = 0.0
    health: Health | None = None
    sandbox: Sandbox | None = None

    @property
    def status(self) -> ContainerStatus:
        """The one word for it, by Docker's order of precedence."""
        if self.running:
            if self.paused:
                return ContainerStatus.PAUSED
            return ContainerStatus.RESTARTING if self.restarting else ContainerStatus.RUNNING
        if self.removing:
            return ContainerStatus.REMOVING
        if self.dead:
            return ContainerStatus.DEAD
        return ContainerStatus.EXITED if self.started_at_ns else ContainerStatus.CREATED

    @property
    def has_process(self) -> bool:
        """Whether there is a process now: waiting for a restart counts as running, but has none."""
        return self.running and not self.restarting


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerDefinition:
    """What a container was created as.

    Attributes:
        created_ns: Nanoseconds since the epoch.
        image: As the user wrote it.
        chain_ids: The layers below the container's own, base first. They are kept here
            because the image may be removed by force while the container stays.
        config: Merged with the image's.
        attachments: The networks it joins when it starts.
        manifest: Digest of the image's manifest, kept for the same reason.
        auto_named: The engine chose the name.
        labels: Of SELinux.
        id_mapping: Users and groups of the host that are this container's alone.
    """

    created_ns: int
    image: str
    image_id: str
    chain_ids: tuple[str, ...]
    config: ContainerConfig
    host_config: HostConfig
    attachments: tuple[Attachment, ...] = ()
    mounts: tuple[PlannedMount, ...] = ()
    platform: str = "linux"
    manifest: str = ""
    id_mapping: IdMapping | None = None
    labels: Labels = field(default_factory=Labels)

    @property
    def stacks(self) -> Sequence[Sequence[str]]:
        """The chain IDs, base first, of everything that it shows of images: its root's and those it mounts."""
        return [self.chain_ids, *(mount.chain_ids for mount in self.mounts)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRecord:
    """One container as persisted; a change is a new record.

    Attributes:
        id: 64 lower-case hex digits.
        name: Unique, without the leading slash that the API prints.
    """

    id: str
    name: str
    definition: ContainerDefinition
    state: ContainerState = field(default_factory=ContainerState)

    @property
    def config(self) -> ContainerConfig:
        """The part of the definition that does not depend on the host."""
        return self.definition.config

    @property
    def host_config(self) -> HostConfig:
        """The part of the definition that depends on the host."""
        return self.definition.host_config

    @property
    def labels(self) -> Labels:
        """Its SELinux labels; empty ones without."""
        return self.definition.labels

    @property
    def command(self) -> tuple[str, ...]:
        """The program and its arguments: the entrypoint, then the command."""
        return (*(self.config.entrypoint or ()), *(self.config.cmd or ()))

    @property
    def short_id(self) -> str:
        """The first 12 digits, for people."""
        return self.id[:12]

    def event_attributes(self, **more: str) -> dict[str, str]:
        """Return what an event about this container carries: its labels, image, name and `more`."""
        attributes = dict(self.config.labels or {})
        if self.definition.image:
            attributes["image"] = self.definition.image
        attributes["name"] = self.name
        attributes.update(more)
        return attributes
