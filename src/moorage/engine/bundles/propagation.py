"""Whether a bind's propagation is possible: the kernel would take it, and nothing would travel.

Pure: the table of mounts is an argument.

Spec: mount_namespaces(7), "Shared subtrees"; proc(5), "mountinfo".
"""

import posixpath
import re
from typing import Final

from moorage.engine.bundles.bind_syntax import InvalidMountError

_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_SHARED: Final = frozenset({"shared", "rshared"})
_SLAVE: Final = frozenset({"slave", "rslave"})
TRAVELLING: Final = _SHARED | _SLAVE
"""Words with which mounts made later on one side show on the other."""


def check_propagation(source: str, propagation: str, *, mountinfo: str) -> None:
    """Refuse a propagation that the mount below a bind's source does not have itself.

    Args:
        mountinfo: /proc/self/mountinfo of where the source is.

    Raises:
        InvalidMountError: In Docker's words.
    """
    point, fields = _mount_of(posixpath.normpath(source), mountinfo)
    kinds = {field.partition(":")[0] for field in fields}
    if propagation in _SHARED and "shared" not in kinds:
        raise InvalidMountError(f"path {source} is mounted on {point} but it is not a shared mount")
    if propagation in _SLAVE and not kinds & {"shared", "master"}:
        raise InvalidMountError(f"path {source} is mounted on {point} but it is not a shared or slave mount")


def _mount_of(path: str, mountinfo: str) -> tuple[str, list[str]]:
    """Return the mount point that a path lies in, and the mount's optional fields."""
    found, fields = "/", list[str]()
    for line in mountinfo.splitlines():
        words = line.split(" ")
        point = _OCTAL.sub(lambda match: chr(int(match[1], 8)), words[4])
        # Of two mounts at one point the later one hides the other.
        if (path + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(found):
            found, fields = point, words[6 : words.index("-", 6)]
    return found, fields
