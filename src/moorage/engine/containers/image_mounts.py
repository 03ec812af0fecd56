"""Images that a container mounts: which one is meant, and what shows its files.

Nothing is mounted on the host. The layers go into the container's specification as a
read-only overlay, so the mount ends with the container whoever is alive to see it.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from moorage.engine.bundles.layered import layered_directories
from moorage.engine.bundles.mounts import MountKind, PlannedMount
from moorage.engine.containers.errors import RequestFailedError, RequestRefusedError
from moorage.engine.containers.ports import Images, Snapshots
from moorage.kernel.overlay import SELF_CONTAINED
from moorage.oci.digest import ChainID


@dataclass(frozen=True, slots=True)
class ImageMounts:
    """Turns the images that are to be mounted into mounts."""

    images: Images
    snapshots: Snapshots

    def with_images(self, mounts: Sequence[PlannedMount], *, mapped: bool) -> tuple[PlannedMount, ...]:
        """Return the mounts of a new container with what the names of images mean now.

        Args:
            mapped: The container is to have a user namespace of its own.

        Raises:
            ImageNotFoundError: One is not here: it is not pulled for that.
            RequestRefusedError: Images can't be mounted in this container, or on this host.
        """
        if any(mount.kind is MountKind.IMAGE for mount in mounts):
            if mapped:
                raise RequestRefusedError("mounts of type image are not supported in a user namespace of its own")
            if self.snapshots.served:
                raise RequestRefusedError("mounts of type image are not supported with fuse-overlayfs")
        return tuple(self._with_image(mount) for mount in mounts)

    def _with_image(self, mount: PlannedMount) -> PlannedMount:
        # What is inherited from another container is that one's image, whatever its name means by now.
        if mount.kind is not MountKind.IMAGE or mount.image_id:
            return mount
        image = self.images.resolve(mount.source)
        return dataclasses.replace(mount, image_id=image.id, chain_ids=tuple(image.chain_ids))

    def entry(self, mount: PlannedMount) -> dict[str, Any]:
        """Return the runtime-spec mount.

        Raises:
            RequestFailedError: The image has nothing at the subpath.
        """
        top = ChainID(mount.chain_ids[-1]) if mount.chain_ids else None
        layers = self.snapshots.image_directories(top)
        found = layered_directories(layers, mount.subpath, marked=self.snapshots.marked)
        if not found:
            raise RequestFailedError(f"cannot access path {mount.source}/{mount.subpath}: no such file or directory")
        if len(layers) == 1 or not found[0].is_dir():
            options = ["bind", "ro", "rprivate"]
            return {"destination": mount.destination, "type": "bind", "source": str(found[0]), "options": options}
        # The bottom one is empty: the kernel makes no overlay of a single directory, and one with
        # whiteouts must not be shown by itself.
        stack = found if found[-1] == layers[-1] else [*found, layers[-1]]
        options = [
            "ro",
            *(f"lowerdir+={path}" for path in stack),
            *(f"{name}={value}" for name, value in SELF_CONTAINED),
        ]
        return {"destination": mount.destination, "type": "overlay", "source": "overlay", "options": options}
