"""What a container that mounts images is refused."""

from pathlib import Path

import pytest

from moorage.engine.bundles.mounts import MountKind, PlannedMount
from moorage.engine.containers.errors import RequestRefusedError
from moorage.engine.containers.image_mounts import ImageMounts
from moorage.images.errors import ImageNotFoundError
from tests.unit.engine.fakes import FakeSnapshots, NoImages

MOUNT = PlannedMount(kind=MountKind.IMAGE, source="data", destination="/i", writable=False)


def test_an_image_that_is_not_here_is_not_found(tmp_path: Path) -> None:
    mounts = ImageMounts(NoImages(), FakeSnapshots(tmp_path))
    with pytest.raises(ImageNotFoundError, match="No such image: data"):
        mounts.with_images([MOUNT], mapped=False)


def test_owners_of_an_image_are_not_mapped(tmp_path: Path) -> None:
    mounts = ImageMounts(NoImages(), FakeSnapshots(tmp_path))
    with pytest.raises(RequestRefusedError, match="mounts of type image are not supported in a user namespace"):
        mounts.with_images([MOUNT], mapped=True)
    others = (PlannedMount(kind=MountKind.TMPFS, destination="/t"),)
    assert mounts.with_images(others, mapped=True) == others
