"""What the container services need from the other packages, as narrow protocols.

Implementations are chosen once, in `moorage.daemon.wiring`; tests pass fakes.
"""

import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from moorage.api.container_state import NetworkSettings
from moorage.api.containers import PortSummary
from moorage.api.networks import EndpointSettings
from moorage.engine.launching import AttachedClient
from moorage.engine.shims import ShimClient, ShimHandlers
from moorage.images.records import Image
from moorage.networks.models import Attachment, ContainerNetworks, Sandbox, SandboxRequest
from moorage.networks.sandboxes import OpenedSandbox
from moorage.oci.digest import ChainID, Digest
from moorage.oci.platform import Platform
from moorage.snapshots.rootfs import Rootfs
from moorage.volumes.models import Volume


class EventPublisher(Protocol):
    """The engine's event bus, writing side."""

    def publish(self, kind: str, action: str, actor_id: str, attributes: Mapping[str, str] = ...) -> None:
        """Record an event; never blocks and never fails."""


class Images(Protocol):
    """The images that containers are made of."""

    def resolve(self, reference: str, *, platform: Platform | None = None) -> Image:
        """Return the image of a name, ID or ID prefix."""

    def children(self, image_id: Digest) -> Sequence[Image]:
        """Return the images that were made from one."""


class SnapshotPins(Protocol):
    """Keeps layers from being collected that nothing refers to yet."""

    def hold(self, chains: Iterable[ChainID], *, manifest: Digest | None = None) -> AbstractContextManager[None]:
        """Keep these layers for a block, and the blobs that a manifest names."""


class Networks(Protocol):
    """The sandboxes of running containers, and what is shown of them."""

    def by_name(self, attachments: Sequence[Attachment]) -> tuple[Attachment, ...]:
        """Return the same attachments, to networks by their names; networks that are not there stay as they are."""

    def validate(self, request: SandboxRequest) -> None:
        """Refuse what can never be opened."""

    def open_sandbox(self, request: SandboxRequest) -> OpenedSandbox:
        """Reserve addresses and ports; all or nothing."""

    def close_sandbox(self, container_id: str) -> None:
        """Give back what a container reserved; idempotent."""

    def launch_fields(self, sandbox: Sandbox) -> dict[str, object]:
        """Return the parts of the launch plan about interfaces and ports."""

    def files(self, request: SandboxRequest, sandbox: Sandbox | None) -> dict[str, str]:
        """Return the contents of hosts, resolv.conf and hostname."""

    def endpoint_settings(self, container: ContainerNetworks) -> dict[str, EndpointSettings]:
        """Return a container's endpoints as inspect shows them."""

    def network_settings(self, container: ContainerNetworks, *, api_version: tuple[int, int]) -> NetworkSettings:
        """Return `NetworkSettings` as inspect shows it."""

    def port_summaries(self, container: ContainerNetworks) -> list[PortSummary]:
        """Return a container's ports as a list shows them."""

    def sandbox(self, container_id: str) -> Sandbox | None:
        """Return a running container's sandbox as it is now."""

    def rename(self, container_id: str, name: str, attachments: Sequence[Attachment]) -> None:
        """Let the names of a running container, which joined these networks, follow a rename."""


class Volumes(Protocol):
    """The named volumes."""

    async def create(
        self,
        name: str | None = None,
        *,
        driver: str = ...,
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """Return the volume of this name, made if there was none."""

    def get(self, name: str) -> Volume:
        """Return one volume."""

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a volume that nobody uses."""


class Snapshots(Protocol):
    """The layers below the containers, and the containers' own."""

    @property
    def marked(self) -> bool:
        """Whether marker files in layers hide what lies below."""

    @property
    def served(self) -> bool:
        """Whether a program, which may hang, answers for the root file system of each container."""

    def lower_dirs(self, chain_id: ChainID) -> Sequence[Path]:
        """Return the directories of a stack of layers, the top one first."""

    def image_directories(self, chain_id: ChainID | None) -> Sequence[Path]:
        """Return what shows an image: an empty directory below its layers, or a single one with all its files."""

    async def prepare_container(self, container_id: str, chain_id: ChainID | None) -> Rootfs:
        """Make the container's own layer."""

    def container_rootfs(self, container_id: str, chain_id: ChainID | None) -> Rootfs:
        """Return what `prepare_container` made."""

    async def remove_container(self, container_id: str) -> None:
        """Remove the container's directory; idempotent."""

    def total_size(self, chain_id: ChainID) -> int:
        """Return the bytes of a stack of layers."""


class FileJobs(Protocol):
    """Work on container files, done outside the daemon's process."""

    async def copy_up(self, rootfs: Rootfs, *, path: str, volume: Path) -> bool:
        """Fill an empty volume with what the image has at `path`."""

    async def make_directory(self, rootfs: Rootfs, path: str) -> None:
        """Make a directory of a container that is not running, and those above it."""

    async def disk_usage(self, path: Path) -> int:
        """Return the bytes that the files below a directory take."""

    async def relabel(self, path: Path, label: str) -> None:
        """Give a file, or a directory with all in it, another SELinux label."""


class ShimLauncher(Protocol):
    """Starts shims."""

    def start_shim(
        self,
        bundle: Path,
        *,
        subject: str,
        forwards: Sequence[socket.socket] = (),
        attaches: Sequence[AttachedClient] = (),
        handlers: ShimHandlers,
    ) -> ShimClient:
        """Start a shim for a bundle and return the connection on which it will speak."""
