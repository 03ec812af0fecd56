"""What networks need from the parts above them; the daemon's wiring passes the real ones."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from moorage.networks.models import Attachment, ContainerNetworks, Sandbox


class EventPublisher(Protocol):
    """Where events go."""

    def publish(self, kind: str, action: str, actor_id: str, attributes: Mapping[str, str] = ...) -> object:
        """Announce something that has happened; never fails and never blocks."""


class Containers(Protocol):
    """The containers, as far as networks are concerned."""

    def find(self, reference: str) -> ContainerNetworks:
        """Return the container with this name or ID.

        Raises:
            NotFoundError: There is none.
        """

    def hold(self, container_id: str) -> AbstractAsyncContextManager[None]:
        """Keep everybody else from changing, starting or ending a container for a block."""

    async def save_attachments(
        self, container_id: str, attachments: tuple[Attachment, ...], sandbox: Sandbox | None
    ) -> None:
        """Store a container's changed attachments, and its changed sandbox if it runs, durably."""

    async def plug(self, container_id: str, interface: dict[str, object]) -> None:
        """Have a running container's shim make the interface."""

    async def unplug(self, container_id: str, name: str) -> None:
        """Have a running container's shim delete the interface of this name."""

    def read_file(self, container_id: str, name: str) -> str:
        """Return the content of a container's "hosts" or "resolv.conf"."""

    def write_file(self, container_id: str, name: str, content: str) -> None:
        """Replace the content of such a file, in place: it is bind-mounted."""
