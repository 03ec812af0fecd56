"""What containers use: the answers that images, volumes and networks ask for before they let go.

One object implements the three narrow ports, because all answers are in the records.
"""

import dataclasses
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from moorage import faults
from moorage.engine.bundles.mounts import MountKind
from moorage.engine.containers.locks import ContainerLocks
from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.sandboxes import container_networks
from moorage.engine.containers.tasks import Tasks
from moorage.images.ports import ImageUser
from moorage.networks.models import Attachment, ContainerNetworks, Sandbox
from moorage.oci.digest import ChainID, Digest


@dataclass(frozen=True, slots=True)
class ContainerUses:
    """Who uses images and volumes."""

    registry: ContainerRegistry

    def users_of(self, image_id: Digest) -> Sequence[ImageUser]:
        """Return the containers created from an image, or that mount it, the running ones first."""
        users = [
            ImageUser(container_id=record.id, running=record.state.running)
            for record in self.registry.all()
            if image_id in _images(record)
        ]
        return sorted(users, key=lambda user: not user.running)

    def chains_in_use(self) -> Collection[ChainID]:
        """Return the topmost chain ID of every container, and of every image that one mounts."""
        stacks = [stack for record in self.registry.all() for stack in record.definition.stacks]
        return {ChainID(stack[-1]) for stack in stacks if stack}

    def manifests_in_use(self) -> Collection[Digest]:
        """Return the manifest of every container's image."""
        return {Digest(record.definition.manifest) for record in self.registry.all() if record.definition.manifest}

    def using_volume(self, name: str) -> tuple[str, ...]:
        """Return the IDs of the containers that mount a volume; one that is being removed lets go."""
        return tuple(
            record.id
            for record in self.registry.all()
            if not record.state.dead
            and any(mount.kind is MountKind.VOLUME and mount.name == name for mount in record.definition.mounts)
        )


def _images(record: ContainerRecord) -> set[str]:
    definition = record.definition
    return {definition.image_id, *(mount.image_id for mount in definition.mounts if mount.image_id)}


@dataclass(frozen=True, slots=True)
class NetworkedContainers:
    """The containers as networks see them, and the way to change a running one's interfaces."""

    registry: ContainerRegistry
    tasks: Tasks
    locks: ContainerLocks
    paths: ContainerPaths

    def find(self, reference: str) -> ContainerNetworks:
        """Return one container.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
        """
        return container_networks(self.registry.resolve(reference))

    def hold(self, container_id: str) -> AbstractAsyncContextManager[None]:
        """Hold a container's lock for a block."""
        return self.locks.hold(container_id)

    async def save_attachments(
        self, container_id: str, attachments: tuple[Attachment, ...], sandbox: Sandbox | None
    ) -> None:
        """Store a container's networks, and its sandbox if it runs, in one transaction."""
        record = self.registry.get(container_id)
        await self.registry.save(
            dataclasses.replace(
                record,
                definition=dataclasses.replace(record.definition, attachments=attachments),
                state=dataclasses.replace(record.state, sandbox=sandbox),
            )
        )
        faults.point("network:attachments-saved")

    async def plug(self, container_id: str, interface: dict[str, object]) -> None:
        """Have the shim of a running container make an interface."""
        await self.tasks.get(container_id).plug(interface)
        faults.point("network:plugged")

    async def unplug(self, container_id: str, name: str) -> None:
        """Have the shim of a running container delete an interface."""
        await self.tasks.get(container_id).unplug(name)
        faults.point("network:unplugged")

    def read_file(self, container_id: str, name: str) -> str:
        """Return the content of a container's `hosts` or `resolv.conf`."""
        return (self.paths.directory(container_id) / name).read_text(encoding="utf-8", errors="replace")

    def write_file(self, container_id: str, name: str, content: str) -> None:
        """Replace the content of a container's `hosts` or `resolv.conf`, in place: it is bind-mounted."""
        (self.paths.directory(container_id) / name).write_text(content, encoding="utf-8")
