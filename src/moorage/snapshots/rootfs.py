"""What a container's root file system is made of."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayRootfs:
    """Layers with a writable one above them.

    Attributes:
        lower: The image's layers, top first.
        upper: The container's own layer.
        work: Overlay's scratch directory, on the same file system.
        program: fuse-overlayfs's path, if it puts them together; "" for the kernel.
    """

    lower: tuple[Path, ...]
    upper: Path
    work: Path
    program: str = ""

    def launch(self, *, volatile: bool = False) -> dict[str, Any]:
        """Return the `rootfs` of launch.json."""
        return {**self.request(), "volatile": volatile}

    def allow_reuse(self) -> None:
        """Let what was mounted without syncing be mounted again; only while no crash came in between.

        Spec: Linux, filesystems/overlayfs.rst "Volatile mount".
        """
        shutil.rmtree(self.work / "work" / "incompat", ignore_errors=True)

    def request(self) -> dict[str, Any]:
        """Return the `root` of a worker's request."""
        directories = {"upper": str(self.upper), "work": str(self.work)}
        return {"lower": [str(path) for path in self.lower], "program": self.program, **directories}

    def image_request(self) -> dict[str, Any]:
        """Return what a worker's request says of the image without the container."""
        return {"lower": [str(path) for path in self.lower], "program": self.program}

    def changes_request(self) -> dict[str, Any]:
        """Return the arguments of jobs that compare the container with its image."""
        below = [str(path) for path in self.lower]
        return {"top": str(self.upper), "below": below, "program": self.program, "layered": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryRootfs:
    """A whole tree, where overlay can't be had.

    Attributes:
        path: The container's tree.
        image: The tree it was copied from.
    """

    path: Path
    image: Path

    def launch(self, *, volatile: bool = False) -> dict[str, Any]:
        """Return the `rootfs` of launch.json."""
        return self.request()

    def allow_reuse(self) -> None:
        """See `OverlayRootfs`; a tree can always be used again."""

    def request(self) -> dict[str, Any]:
        """Return the `root` of a worker's request."""
        return {"path": str(self.path)}

    def image_request(self) -> dict[str, Any]:
        """Return what a worker's request says of the image without the container."""
        return {"lower": [str(self.image)], "program": ""}

    def changes_request(self) -> dict[str, Any]:
        """Return the arguments of jobs that compare the container with its image."""
        return {"top": str(self.path), "below": [str(self.image)], "program": "", "layered": False}


Rootfs = OverlayRootfs | DirectoryRootfs
"""What `SnapshotStore.container_rootfs` returns."""
