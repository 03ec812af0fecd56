"""Which propagation a bind may have."""

import pytest

from moorage.engine.bundles.bind_syntax import InvalidMountError
from moorage.engine.bundles.propagation import check_propagation

MOUNTS = """\
21 1 8:1 / / rw,relatime - ext4 /dev/vda rw
22 21 0:5 / /mnt rw,relatime shared:7 - tmpfs tmpfs rw
23 21 0:6 / /srv/a\\040b rw,relatime master:7 - tmpfs tmpfs rw
24 22 0:7 / /mnt/inner rw,relatime - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("source", "propagation"),
    [("/mnt", "rshared"), ("/mnt/x/y", "shared"), ("/mnt", "slave"), ("/srv/a b/c", "rslave")],
)
def test_possible(source: str, propagation: str) -> None:
    check_propagation(source, propagation, mountinfo=MOUNTS)


@pytest.mark.parametrize(
    ("source", "propagation", "message"),
    [
        ("/etc", "rshared", "path /etc is mounted on / but it is not a shared mount"),
        ("/mntx", "shared", "path /mntx is mounted on / but it is not a shared mount"),
        ("/mnt/inner/x", "rslave", "path /mnt/inner/x is mounted on /mnt/inner but it is not a shared or slave mount"),
        ("/srv/a b", "shared", "path /srv/a b is mounted on /srv/a b but it is not a shared mount"),
    ],
)
def test_refused(source: str, propagation: str, message: str) -> None:
    with pytest.raises(InvalidMountError, match=f"^{message}$"):
        check_propagation(source, propagation, mountinfo=MOUNTS)
