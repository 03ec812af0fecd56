"""Containers: what a client sends to make and steer them, and the short answers.

`container_state` has what inspect shows, `host_config` the part that depends on the host.

Spec: Engine API, tag "Container".
"""

from typing import Annotated, Final

import msgspec
from msgspec import field

from moorage.api.descriptors import OCIDescriptor
from moorage.api.filters import Accepts, Filters
from moorage.api.host_config import HostConfig
from moorage.api.mounts import MountPoint
from moorage.api.networks import EndpointSettings, NetworkingConfig
from moorage.api.query import Query
from moorage.api.wire import JSON, Model, StringSlice, always


class HealthConfig(Model):
    """How to find out whether a container is healthy; durations are nanoseconds."""

    test: list[str] = field(default_factory=list)
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ContainerConfig(Model):
    """The part of a container's configuration that does not depend on the host.

    Attributes:
        exposed_ports: "80/tcp" and the like; the values are empty objects.
        volumes: Mount points; the values are empty objects.
        stop_timeout: Seconds between the stop signal and SIGKILL.
    """

    hostname: str = always(default="")
    domainname: str = always(default="")
    user: str = always(default="")
    attach_stdin: bool = always(default=False)
    attach_stdout: bool = always(default=False)
    attach_stderr: bool = always(default=False)
    exposed_ports: dict[str, dict[str, JSON]] = field(default_factory=dict)
    tty: bool = always(default=False)
    open_stdin: bool = always(default=False)
    stdin_once: bool = always(default=False)
    env: list[str] | None = always(default=None)
    cmd: StringSlice | None = always(default=None)
    healthcheck: HealthConfig | None = None
    args_escaped: bool = False
    image: str = always(default="")
    volumes: dict[str, dict[str, JSON]] | None = always(default=None)
    working_dir: str = always(default="")
    entrypoint: StringSlice | None = always(default=None)
    network_disabled: bool = False
    on_build: list[str] | None = None
    labels: dict[str, str] | None = always(default=None)
    stop_signal: str = ""
    stop_timeout: int | None = None
    shell: StringSlice = field(default_factory=list)


class LegacyContainerConfig(ContainerConfig):
    """The same as API versions before 1.52 show it.

    Attributes:
        mac_address: Of the network mode's endpoint.
    """

    mac_address: str = ""
    on_build: list[str] | None = always(default=None)


#: An image that no request can name: a body with an empty name has a configuration, one without the field may not.
NOT_SENT: Final = "\0"


class ContainerCreateRequest(ContainerConfig):
    """The body of a create: the configuration's fields, and what stands beside them.

    Attributes:
        image: `NOT_SENT` if the request does not have the field at all.
        mac_address: The container-wide address of versions before 1.52.
        runtime: docker-py writes it here and not into the host configuration.
    """

    image: str = always(default=NOT_SENT)
    mac_address: str = ""
    runtime: str = ""
    host_config: HostConfig | None = None
    networking_config: NetworkingConfig | None = None


def config_of(request: ContainerCreateRequest) -> ContainerConfig:
    """Return the configuration alone, as it is stored and echoed by inspect."""
    names = (item.name for item in msgspec.structs.fields(ContainerConfig))
    fields = {name: getattr(request, name) for name in names}
    return ContainerConfig(**{**fields, "image": "" if request.image == NOT_SENT else request.image})


class ContainerCreateQuery(Query):
    """Parameters of POST /containers/create."""

    name: str = ""
    platform: str = ""


class ContainerCreateResponse(Model):
    """The new container's ID, and what the host could not give it."""

    id: str
    warnings: list[str] = always(default=[])


class ContainerListQuery(Query):
    """Parameters of GET /containers/json; `since` and `before` are filters."""

    all: bool = False
    size: bool = False
    limit: int = 0
    filters: Annotated[
        Filters,
        Accepts(
            "ancestor", "before", "exited", "expose", "health", "id", "isolation", "is-task", "label",
            "name", "network", "publish", "since", "status", "volume",
        ),
    ] = Filters()  # fmt: skip


class PortSummary(Model):
    """One port of a container in a list."""

    ip: str = field(default="", name="IP")
    private_port: int = always(default=0)
    public_port: int = 0
    type: str = always(default="")


class SummaryHostConfig(Model):
    """The part of the host configuration that a list shows."""

    network_mode: str = ""
    annotations: dict[str, str] = field(default_factory=dict)


class SummaryNetworkSettings(Model):
    """The part of the network settings that a list shows."""

    networks: dict[str, EndpointSettings] | None = always(default=None)


class SummaryHealth(Model):
    """The part of the health record that a list shows since API 1.52."""

    status: str = always(default="")
    failing_streak: int = always(default=0)


class ContainerSummary(Model):
    """One container in a list; sizes are bytes and only there when asked for."""

    id: str
    names: list[str] | None = always(default=None)
    image: str = always(default="")
    image_id: str = always(default="", name="ImageID")
    image_manifest_descriptor: OCIDescriptor | None = None
    command: str = always(default="")
    created: int = always(default=0)
    ports: list[PortSummary] = always(default=[])
    size_rw: int = 0
    size_root_fs: int = 0
    labels: dict[str, str] | None = always(default=None)
    state: str = always(default="")
    status: str = always(default="")
    host_config: SummaryHostConfig = always(default=SummaryHostConfig())
    network_settings: SummaryNetworkSettings | None = always(default=None)
    mounts: list[MountPoint] = always(default=[])
    health: SummaryHealth | None = None


class ContainerInspectQuery(Query):
    """Parameters of GET /containers/{id}/json."""

    size: bool = False


class ContainerTopQuery(Query):
    """Parameters of GET /containers/{id}/top."""

    ps_args: str = ""


class ContainerTopResponse(Model):
    """The process table of a container."""

    titles: list[str] | None = always(default=None)
    processes: list[list[str]] | None = always(default=None)


class ContainerLogsQuery(Query):
    """Parameters of GET /containers/{id}/logs."""

    follow: bool = False
    stdout: bool = False
    stderr: bool = False
    since: str = ""
    until: str = ""
    timestamps: bool = False
    details: bool = False
    tail: str = ""
    format: str = ""


class FilesystemChange(Model):
    """A path that differs from the image: 0 modified, 1 added, 2 deleted."""

    path: str
    kind: int


class ContainerStatsQuery(Query):
    """Parameters of GET /containers/{id}/stats."""

    stream: bool = True
    one_shot: bool = field(default=False, name="one-shot")


class ResizeQuery(Query):
    """Parameters of both resize operations: rows and columns, whole numbers that must be there."""

    h: str = ""
    w: str = ""


class ContainerStartQuery(Query):
    """Parameters of POST /containers/{id}/start."""

    detach_keys: str = field(default="", name="detachKeys")
    checkpoint: str = ""
    checkpoint_dir: str = field(default="", name="checkpoint-dir")


class CheckpointQuery(Query):
    """GET /containers/{id}/checkpoints, DELETE of one.

    Attributes:
        directory: Where the checkpoints are, if not with the container.
    """

    directory: str = field(default="", name="dir")


class ContainerStopQuery(Query):
    """Parameters of stop and restart; `t` is seconds, negative waits for ever, None takes the container's own."""

    signal: str = ""
    t: int | None = None


class ContainerKillQuery(Query):
    """Parameters of POST /containers/{id}/kill."""

    signal: str = ""


class ContainerRenameQuery(Query):
    """Parameters of POST /containers/{id}/rename."""

    name: str = ""


class ContainerAttachQuery(Query):
    """Parameters of both attach operations."""

    detach_keys: str = field(default="", name="detachKeys")
    logs: bool = False
    stream: bool = False
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False


class ContainerWaitQuery(Query):
    """Parameters of POST /containers/{id}/wait."""

    condition: str = ""


class WaitExitError(Model):
    """Why a wait failed."""

    message: str = always(default="")


class ContainerWaitResponse(Model):
    """The exit status of a container."""

    status_code: int
    error: WaitExitError | None = None


class ContainerDeleteQuery(Query):
    """Parameters of DELETE /containers/{id}."""

    v: bool = False
    force: bool = False
    link: bool = False


class ArchiveQuery(Query):
    """Parameters of HEAD and GET /containers/{id}/archive."""

    path: str = ""


class ArchivePutQuery(Query):
    """Parameters of PUT /containers/{id}/archive."""

    path: str = ""
    no_overwrite_dir_non_dir: bool = field(default=False, name="noOverwriteDirNonDir")
    copy_uid_gid: bool = field(default=False, name="copyUIDGID")


class PathStat(Model, rename="camel"):
    """What X-Docker-Container-Path-Stat carries; `mode` has Go's file mode bits."""

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str = always(default="")


class ContainerPruneQuery(Query):
    """Parameters of POST /containers/prune."""

    filters: Annotated[Filters, Accepts("label", "label!", "until")] = Filters()


class ContainerPruneResponse(Model):
    """IDs of the containers removed, and bytes freed."""

    containers_deleted: list[str] | None = always(default=None)
    space_reclaimed: int = always(default=0)
