"""Which connection serves a root file system."""

import pytest

from moorage.worker.aborting import served_root

SERVED = b"36 35 0:63 / / rw,relatime - fuse.fuse-overlayfs fuse-overlayfs rw,user_id=0\n"
OVERLAY = b"36 35 0:63 / / rw,relatime - overlay overlay rw\n"
VOLUME = b"37 36 0:70 / /data rw shared:1 - fuse.sshfs host:/ rw\n"


@pytest.mark.parametrize(
    ("mountinfo", "expected"), [(SERVED + VOLUME, 63), (OVERLAY + VOLUME, None), (b"", None), (VOLUME, None)]
)
def test_only_the_roots_own_connection_is_found(mountinfo: bytes, expected: int | None) -> None:
    assert served_root(mountinfo) == expected
