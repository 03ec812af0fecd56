"""The table: every operation of the Engine API that one host needs.

Spec: Engine API, "paths". The rows are in the order of the specification.
"""

from types import NoneType
from typing import Any, Final

from moorage.api import (
    build,
    cluster_endpoints,
    containers,
    events,
    host_config,
    images,
    networks,
    system,
    volumes,
)
from moorage.api.cluster_endpoints import LooseBody, VersionQuery
from moorage.api.container_state import Checkpoint, ContainerInspectResponse, RequestedCheckpoint
from moorage.api.endpoint import Endpoint, NoBody, StreamBody
from moorage.api.exec import ExecCreateRequest, ExecInspectResponse, ExecStartRequest, IDResponse
from moorage.api.progress import ProgressMessage
from moorage.api.query import NoQuery
from moorage.api.stats import ContainerStats
from moorage.api.streams import ByteStream, Hijack, JSONLines, TarStream
from moorage.api.versions import Version

SYSTEM_AUTH: Final = Endpoint(
    method="POST", path="/auth", operation="SystemAuth", area="system",
    summary="validate registry credentials",
    query=NoQuery, body=system.AuthRequest, result=system.AuthResponse,
)  # fmt: skip
SYSTEM_INFO: Final = Endpoint(
    method="GET", path="/info", operation="SystemInfo", area="system",
    summary="daemon-wide information",
    query=NoQuery, body=NoBody, result=system.SystemInfo,
)  # fmt: skip
SYSTEM_VERSION: Final = Endpoint(
    method="GET", path="/version", operation="SystemVersion", area="system",
    summary="component and API versions",
    query=NoQuery, body=NoBody, result=system.SystemVersion,
)  # fmt: skip
SYSTEM_PING: Final = Endpoint(
    method="GET", path="/_ping", operation="SystemPing", area="system",
    summary="liveness and version discovery",
    query=NoQuery, body=NoBody, result=str,
)  # fmt: skip
SYSTEM_PING_HEAD: Final = Endpoint(
    method="HEAD", path="/_ping", operation="SystemPingHead", area="system",
    summary="liveness, headers only",
    query=NoQuery, body=NoBody, result=str,
)  # fmt: skip
SYSTEM_EVENTS: Final = Endpoint(
    method="GET", path="/events", operation="SystemEvents", area="system",
    summary="event stream with filters and history",
    query=events.EventsQuery, body=NoBody, result=JSONLines[events.EventMessage],
)  # fmt: skip
SYSTEM_DATA_USAGE: Final = Endpoint(
    method="GET", path="/system/df", operation="SystemDataUsage", area="system",
    summary="disk usage by object type",
    query=system.DiskUsageQuery, body=NoBody, result=system.DiskUsage,
)  # fmt: skip
CONTAINER_LIST: Final = Endpoint(
    method="GET", path="/containers/json", operation="ContainerList", area="containers",
    summary="list containers, filter, sizes",
    query=containers.ContainerListQuery, body=NoBody, result=list[containers.ContainerSummary],
)  # fmt: skip
CONTAINER_CREATE: Final = Endpoint(
    method="POST", path="/containers/create", operation="ContainerCreate", area="containers",
    summary="create container from image and config",
    query=containers.ContainerCreateQuery, body=containers.ContainerCreateRequest,
    result=containers.ContainerCreateResponse, status=201,
)  # fmt: skip
CONTAINER_INSPECT: Final = Endpoint(
    method="GET", path="/containers/{id}/json", operation="ContainerInspect", area="containers",
    summary="full low-level container record",
    query=containers.ContainerInspectQuery, body=NoBody, result=ContainerInspectResponse,
)  # fmt: skip
CONTAINER_TOP: Final = Endpoint(
    method="GET", path="/containers/{id}/top", operation="ContainerTop", area="containers",
    summary="process table via host ps",
    query=containers.ContainerTopQuery, body=NoBody, result=containers.ContainerTopResponse,
)  # fmt: skip
CONTAINER_LOGS: Final = Endpoint(
    method="GET", path="/containers/{id}/logs", operation="ContainerLogs", area="containers",
    summary="fetch or follow stored output",
    query=containers.ContainerLogsQuery, body=NoBody, result=ByteStream,
)  # fmt: skip
CONTAINER_CHANGES: Final = Endpoint(
    method="GET", path="/containers/{id}/changes", operation="ContainerChanges", area="containers",
    summary="writable-layer diff A/C/D",
    query=NoQuery, body=NoBody, result=list[containers.FilesystemChange],
)  # fmt: skip
CONTAINER_EXPORT: Final = Endpoint(
    method="GET", path="/containers/{id}/export", operation="ContainerExport", area="containers",
    summary="tar of container root filesystem",
    query=NoQuery, body=NoBody, result=TarStream,
)  # fmt: skip
CONTAINER_STATS: Final = Endpoint(
    method="GET", path="/containers/{id}/stats", operation="ContainerStats", area="containers",
    summary="resource usage samples",
    query=containers.ContainerStatsQuery, body=NoBody, result=JSONLines[ContainerStats],
)  # fmt: skip
CONTAINER_RESIZE: Final = Endpoint(
    method="POST", path="/containers/{id}/resize", operation="ContainerResize", area="containers",
    summary="set TTY rows and columns",
    query=containers.ResizeQuery, body=NoBody, result=NoneType,
)  # fmt: skip
CONTAINER_START: Final = Endpoint(
    method="POST", path="/containers/{id}/start", operation="ContainerStart", area="containers",
    summary="start created or stopped container",
    query=containers.ContainerStartQuery, body=NoBody, result=NoneType, status=204,
)  # fmt: skip
CONTAINER_STOP: Final = Endpoint(
    method="POST", path="/containers/{id}/stop", operation="ContainerStop", area="containers",
    summary="signal, wait, then SIGKILL",
    query=containers.ContainerStopQuery, body=NoBody, result=NoneType, status=204,
)  # fmt: skip
CONTAINER_RESTART: Final = Endpoint(
    method="POST", path="/containers/{id}/restart", operation="ContainerRestart", area="containers",
    summary="stop then start again",
    query=containers.ContainerStopQuery, body=NoBody, result=NoneType, status=204,
)  # fmt: skip
CONTAINER_KILL: Final = Endpoint(
    method="POST", path="/containers/{id}/kill", operation="ContainerKill", area="containers",
    summary="send a signal to PID 1",
    query=containers.ContainerKillQuery, body=NoBody, result=NoneType, status=204,
)  # fmt: skip
CONTAINER_UPDATE: Final = Endpoint(
    method="POST", path="/containers/{id}/update", operation="ContainerUpdate", area="containers",
    summary="change resources and restart policy live",
    query=NoQuery, body=host_config.UpdateRequest, result=host_config.UpdateResponse,
)  # fmt: skip
CONTAINER_RENAME: Final = Endpoint(
    method="POST", path="/containers/{id}/rename", operation="ContainerRename", area="containers",
    summary="change container name",
    query=containers.ContainerRenameQuery, body=NoBody, result=NoneType, status=204,
)  # fmt: skip
CONTAINER_PAUSE: Final = Endpoint(
    method="POST", path="/containers/{id}/pause", operation="ContainerPause", area="containers",
    summary="freeze with cgroup freezer",
    query=NoQuery, body=NoBody, result=NoneType, status=204,
)  # fmt: skip
CONTAINER_UNPAUSE: Final = Endpoint(
    method="POST", path="/containers/{id}/unpause", operation="ContainerUnpause", area="containers",
    summary="thaw frozen container",
    query=NoQuery, body=NoBody, result=NoneType, status=204,
)  # fmt: skip
CONTAINER_ATTACH: Final = Endpoint(
    method="POST", path="/containers/{id}/attach", operation="ContainerAttach", area="containers",
    summary="attach stdio to main process",
    query=containers.ContainerAttachQuery, body=NoBody, result=Hijack,
)  # fmt: skip
CONTAINER_ATTACH_WEBSOCKET: Final = Endpoint(
    method="GET", path="/containers/{id}/attach/ws", operation="ContainerAttachWebsocket", area="containers",
    summary="attach stdio over WebSocket",
    query=containers.ContainerAttachQuery, body=NoBody, result=Hijack, status=101,
)  # fmt: skip
CONTAINER_WAIT: Final = Endpoint(
    method="POST", path="/containers/{id}/wait", operation="ContainerWait", area="containers",
    summary="block until state condition, exit code",
    query=containers.ContainerWaitQuery, body=NoBody, result=containers.ContainerWaitResponse,
)  # fmt: skip
CONTAINER_DELETE: Final = Endpoint(
    method="DELETE", path="/containers/{id}", operation="ContainerDelete", area="containers",
    summary="remove container, optionally volumes",
    query=containers.ContainerDeleteQuery, body=NoBody, result=NoneType, status=204,
)  # fmt: skip
CONTAINER_ARCHIVE_INFO: Final = Endpoint(
    method="HEAD", path="/containers/{id}/archive", operation="ContainerArchiveInfo", area="containers",
    summary="stat a path (X-Docker-Container-Path-Stat header)",
    query=containers.ArchiveQuery, body=NoBody, result=NoneType,
)  # fmt: skip
CONTAINER_ARCHIVE: Final = Endpoint(
    method="GET", path="/containers/{id}/archive", operation="ContainerArchive", area="containers",
    summary="download path as tar",
    query=containers.ArchiveQuery, body=NoBody, result=TarStream,
)  # fmt: skip
PUT_CONTAINER_ARCHIVE: Final = Endpoint(
    method="PUT", path="/containers/{id}/archive", operation="PutContainerArchive", area="containers",
    summary="extract tar into container directory",
    query=containers.ArchivePutQuery, body=StreamBody, result=NoneType,
)  # fmt: skip
CONTAINER_PRUNE: Final = Endpoint(
    method="POST", path="/containers/prune", operation="ContainerPrune", area="containers",
    summary="delete all stopped containers",
    query=containers.ContainerPruneQuery, body=NoBody, result=containers.ContainerPruneResponse, since=Version(1, 25),
)  # fmt: skip
CONTAINER_EXEC: Final = Endpoint(
    method="POST", path="/containers/{id}/exec", operation="ContainerExec", area="exec",
    summary="create exec instance",
    query=NoQuery, body=ExecCreateRequest, result=IDResponse, status=201,
)  # fmt: skip
EXEC_START: Final = Endpoint(
    method="POST", path="/exec/{id}/start", operation="ExecStart", area="exec",
    summary="start exec instance",
    query=NoQuery, body=ExecStartRequest, result=Hijack,
)  # fmt: skip
EXEC_RESIZE: Final = Endpoint(
    method="POST", path="/exec/{id}/resize", operation="ExecResize", area="exec",
    summary="set exec TTY size",
    query=containers.ResizeQuery, body=NoBody, result=NoneType,
)  # fmt: skip
EXEC_INSPECT: Final = Endpoint(
    method="GET", path="/exec/{id}/json", operation="ExecInspect", area="exec",
    summary="exec state and exit code",
    query=NoQuery, body=NoBody, result=ExecInspectResponse,
)  # fmt: skip
IMAGE_LIST: Final = Endpoint(
    method="GET", path="/images/json", operation="ImageList", area="images",
    summary="list images, filters, shared size",
    query=images.ImageListQuery, body=NoBody, result=list[images.ImageSummary],
)  # fmt: skip
IMAGE_CREATE: Final = Endpoint(
    method="POST", path="/images/create", operation="ImageCreate", area="images",
    summary="pull from registry or import",
    query=images.ImageCreateQuery, body=StreamBody, result=JSONLines[ProgressMessage],
)  # fmt: skip
IMAGE_INSPECT: Final = Endpoint(
    method="GET", path="/images/{name}/json", operation="ImageInspect", area="images",
    summary="full image record",
    query=images.ImageInspectQuery, body=NoBody, result=images.ImageInspect,
)  # fmt: skip
IMAGE_ATTESTATIONS: Final = Endpoint(
    method="GET", path="/images/{name}/attestations", operation="ImageAttestations", area="images",
    summary="in-toto attestations of image",
    query=images.ImageAttestationsQuery, body=NoBody, result=list[images.AttestationStatement], since=Version(1, 55),
)  # fmt: skip
IMAGE_HISTORY: Final = Endpoint(
    method="GET", path="/images/{name}/history", operation="ImageHistory", area="images",
    summary="layer history of image",
    query=images.ImageHistoryQuery, body=NoBody, result=list[images.ImageHistoryItem],
)  # fmt: skip
IMAGE_PUSH: Final = Endpoint(
    method="POST", path="/images/{name}/push", operation="ImagePush", area="images",
    summary="upload image to registry",
    query=images.ImagePushQuery, body=StreamBody, result=JSONLines[ProgressMessage],
)  # fmt: skip
IMAGE_TAG: Final = Endpoint(
    method="POST", path="/images/{name}/tag", operation="ImageTag", area="images",
    summary="add a repository tag",
    query=images.ImageTagQuery, body=NoBody, result=NoneType, status=201,
)  # fmt: skip
IMAGE_DELETE: Final = Endpoint(
    method="DELETE", path="/images/{name}", operation="ImageDelete", area="images",
    summary="untag and delete image",
    query=images.ImageDeleteQuery, body=NoBody, result=list[images.ImageDeleteItem],
)  # fmt: skip
IMAGE_SEARCH: Final = Endpoint(
    method="GET", path="/images/search", operation="ImageSearch", area="images",
    summary="search Docker Hub",
    query=images.ImageSearchQuery, body=NoBody, result=list[images.ImageSearchResult],
)  # fmt: skip
IMAGE_PRUNE: Final = Endpoint(
    method="POST", path="/images/prune", operation="ImagePrune", area="images",
    summary="delete dangling or unused images",
    query=images.ImagePruneQuery, body=NoBody, result=images.ImagePruneResponse, since=Version(1, 25),
)  # fmt: skip
IMAGE_COMMIT: Final = Endpoint(
    method="POST", path="/commit", operation="ImageCommit", area="images",
    summary="snapshot container into image",
    query=images.ImageCommitQuery, body=containers.ContainerConfig, result=IDResponse, status=201,
)  # fmt: skip
IMAGE_GET: Final = Endpoint(
    method="GET", path="/images/{name}/get", operation="ImageGet", area="images",
    summary="save one image as tar",
    query=images.ImageSaveQuery, body=NoBody, result=TarStream,
)  # fmt: skip
IMAGE_GET_ALL: Final = Endpoint(
    method="GET", path="/images/get", operation="ImageGetAll", area="images",
    summary="save several images as tar",
    query=images.ImageSaveQuery, body=NoBody, result=TarStream,
)  # fmt: skip
IMAGE_LOAD: Final = Endpoint(
    method="POST", path="/images/load", operation="ImageLoad", area="images",
    summary="load images from tar",
    query=images.ImageLoadQuery, body=StreamBody, result=JSONLines[ProgressMessage],
)  # fmt: skip
IMAGE_BUILD: Final = Endpoint(
    method="POST", path="/build", operation="ImageBuild", area="build",
    summary="build image from context",
    query=build.BuildQuery, body=StreamBody, result=JSONLines[ProgressMessage],
)  # fmt: skip
BUILD_PRUNE: Final = Endpoint(
    method="POST", path="/build/prune", operation="BuildPrune", area="build",
    summary="drop build cache records",
    query=build.BuildPruneQuery, body=NoBody, result=build.BuildPruneResponse, since=Version(1, 31),
)  # fmt: skip
NETWORK_LIST: Final = Endpoint(
    method="GET", path="/networks", operation="NetworkList", area="networks",
    summary="list networks with filters",
    query=networks.NetworkListQuery, body=NoBody, result=list[networks.Network], aliases=("/networks/",),
)  # fmt: skip
NETWORK_INSPECT: Final = Endpoint(
    method="GET", path="/networks/{id}", operation="NetworkInspect", area="networks",
    summary="network record with endpoints",
    query=networks.NetworkInspectQuery, body=NoBody, result=networks.Network,
)  # fmt: skip
NETWORK_DELETE: Final = Endpoint(
    method="DELETE", path="/networks/{id}", operation="NetworkDelete", area="networks",
    summary="remove network",
    query=NoQuery, body=NoBody, result=NoneType, status=204,
)  # fmt: skip
NETWORK_CREATE: Final = Endpoint(
    method="POST", path="/networks/create", operation="NetworkCreate", area="networks",
    summary="create network with IPAM",
    query=NoQuery, body=networks.NetworkCreateRequest, result=networks.NetworkCreateResponse, status=201,
)  # fmt: skip
NETWORK_CONNECT: Final = Endpoint(
    method="POST", path="/networks/{id}/connect", operation="NetworkConnect", area="networks",
    summary="attach container to network",
    query=NoQuery, body=networks.NetworkConnectRequest, result=NoneType,
)  # fmt: skip
NETWORK_DISCONNECT: Final = Endpoint(
    method="POST", path="/networks/{id}/disconnect", operation="NetworkDisconnect", area="networks",
    summary="detach container from network",
    query=NoQuery, body=networks.NetworkDisconnectRequest, result=NoneType,
)  # fmt: skip
NETWORK_PRUNE: Final = Endpoint(
    method="POST", path="/networks/prune", operation="NetworkPrune", area="networks",
    summary="delete unused networks",
    query=networks.NetworkPruneQuery, body=NoBody, result=networks.NetworkPruneResponse, since=Version(1, 25),
)  # fmt: skip
VOLUME_LIST: Final = Endpoint(
    method="GET", path="/volumes", operation="VolumeList", area="volumes",
    summary="list volumes with filters",
    query=volumes.VolumeListQuery, body=NoBody, result=volumes.VolumeListResponse,
)  # fmt: skip
VOLUME_CREATE: Final = Endpoint(
    method="POST", path="/volumes/create", operation="VolumeCreate", area="volumes",
    summary="create named or anonymous volume",
    query=NoQuery, body=volumes.VolumeCreateRequest, result=volumes.Volume, status=201,
)  # fmt: skip
VOLUME_INSPECT: Final = Endpoint(
    method="GET", path="/volumes/{name}", operation="VolumeInspect", area="volumes",
    summary="volume record",
    query=NoQuery, body=NoBody, result=volumes.Volume,
)  # fmt: skip
VOLUME_UPDATE: Final = Endpoint(
    method="PUT", path="/volumes/{name}", operation="VolumeUpdate", area="volumes",
    summary="update cluster volume spec only",
    query=VersionQuery, body=LooseBody, result=NoneType, since=Version(1, 42),
)  # fmt: skip
VOLUME_DELETE: Final = Endpoint(
    method="DELETE", path="/volumes/{name}", operation="VolumeDelete", area="volumes",
    summary="remove volume",
    query=volumes.VolumeDeleteQuery, body=NoBody, result=NoneType, status=204,
)  # fmt: skip
VOLUME_PRUNE: Final = Endpoint(
    method="POST", path="/volumes/prune", operation="VolumePrune", area="volumes",
    summary="delete unused anonymous volumes",
    query=volumes.VolumePruneQuery, body=NoBody, result=volumes.VolumePruneResponse, since=Version(1, 25),
)  # fmt: skip
DISTRIBUTION_INSPECT: Final = Endpoint(
    method="GET", path="/distribution/{name}/json", operation="DistributionInspect", area="distribution",
    summary="registry descriptor and platforms",
    query=NoQuery, body=NoBody, result=images.DistributionInspect, since=Version(1, 30),
)  # fmt: skip
SESSION: Final = Endpoint(
    method="POST", path="/session", operation="Session", area="session",
    summary="client-session gRPC tunnel (BuildKit)",
    query=NoQuery, body=NoBody, result=Hijack, status=101, since=Version(1, 31),
)  # fmt: skip
BUILD_CANCEL: Final = Endpoint(
    method="POST", path="/build/cancel", operation="BuildCancel", area="build",
    summary="cancel running BuildKit build",
    query=build.BuildCancelQuery, body=NoBody, result=NoneType, since=Version(1, 39),
)  # fmt: skip
BUILD_GRPC: Final = Endpoint(
    method="POST", path="/grpc", operation="BuildGRPC", area="build",
    summary="h2c tunnel to BuildKit gRPC",
    query=NoQuery, body=NoBody, result=Hijack, status=101, since=Version(1, 39),
)  # fmt: skip
CHECKPOINT_LIST: Final = Endpoint(
    method="GET", path="/containers/{id}/checkpoints", operation="CheckpointList", area="checkpoints",
    summary="list CRIU checkpoints",
    query=containers.CheckpointQuery, body=NoBody, result=list[Checkpoint], since=Version(1, 25),
)  # fmt: skip
CHECKPOINT_CREATE: Final = Endpoint(
    method="POST", path="/containers/{id}/checkpoints", operation="CheckpointCreate", area="checkpoints",
    summary="create CRIU checkpoint",
    query=NoQuery, body=RequestedCheckpoint, result=NoneType, status=201, since=Version(1, 25),
)  # fmt: skip
CHECKPOINT_DELETE: Final = Endpoint(
    method="DELETE", path="/containers/{id}/checkpoints/{checkpoint}", operation="CheckpointDelete", area="checkpoints",
    summary="delete CRIU checkpoint",
    query=containers.CheckpointQuery, body=NoBody, result=NoneType, status=204, since=Version(1, 25),
)  # fmt: skip

#: Every operation, built or not.
ENDPOINTS: Final[tuple[Endpoint[Any, Any, Any], ...]] = (
    SYSTEM_AUTH,
    SYSTEM_INFO,
    SYSTEM_VERSION,
    SYSTEM_PING,
    SYSTEM_PING_HEAD,
    SYSTEM_EVENTS,
    SYSTEM_DATA_USAGE,
    CONTAINER_LIST,
    CONTAINER_CREATE,
    CONTAINER_INSPECT,
    CONTAINER_TOP,
    CONTAINER_LOGS,
    CONTAINER_CHANGES,
    CONTAINER_EXPORT,
    CONTAINER_STATS,
    CONTAINER_RESIZE,
    CONTAINER_START,
    CONTAINER_STOP,
    CONTAINER_RESTART,
    CONTAINER_KILL,
    CONTAINER_UPDATE,
    CONTAINER_RENAME,
    CONTAINER_PAUSE,
    CONTAINER_UNPAUSE,
    CONTAINER_ATTACH,
    CONTAINER_ATTACH_WEBSOCKET,
    CONTAINER_WAIT,
    CONTAINER_DELETE,
    CONTAINER_ARCHIVE_INFO,
    CONTAINER_ARCHIVE,
    PUT_CONTAINER_ARCHIVE,
    CONTAINER_PRUNE,
    CONTAINER_EXEC,
    EXEC_START,
    EXEC_RESIZE,
    EXEC_INSPECT,
    IMAGE_LIST,
    IMAGE_CREATE,
    IMAGE_INSPECT,
    IMAGE_ATTESTATIONS,
    IMAGE_HISTORY,
    IMAGE_PUSH,
    IMAGE_TAG,
    IMAGE_DELETE,
    IMAGE_SEARCH,
    IMAGE_PRUNE,
    IMAGE_COMMIT,
    IMAGE_GET,
    IMAGE_GET_ALL,
    IMAGE_LOAD,
    IMAGE_BUILD,
    BUILD_PRUNE,
    NETWORK_LIST,
    NETWORK_INSPECT,
    NETWORK_DELETE,
    NETWORK_CREATE,
    NETWORK_CONNECT,
    NETWORK_DISCONNECT,
    NETWORK_PRUNE,
    VOLUME_LIST,
    VOLUME_CREATE,
    VOLUME_INSPECT,
    VOLUME_UPDATE,
    VOLUME_DELETE,
    VOLUME_PRUNE,
    DISTRIBUTION_INSPECT,
    SESSION,
    BUILD_CANCEL,
    BUILD_GRPC,
    CHECKPOINT_LIST,
    CHECKPOINT_CREATE,
    CHECKPOINT_DELETE,
    *cluster_endpoints.ENDPOINTS,
)
