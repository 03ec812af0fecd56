"""The job that finds out whether overlay can be had on a file system."""

from __future__ import annotations

import os
import stat

from moorage.kernel.xattr import OVERLAY_OPAQUE
from moorage.worker.failures import about
from moorage.worker.removal import remove_tree
from moorage.worker.roots import open_root
from moorage.worker.whiteouts import is_whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moorage.worker.messages import Call, Result

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def probe_overlay(call: Call) -> Result:
    """Mount an overlay with its directories on a file system, and remove a file in it.

    Arguments: `directory`, on the file system; nothing is left in it.

    Returns:
        `supported`; `reason` if not.
    """
    directory_fd = os.open(call.path("directory"), _OPEN)
    name = f".overlay-probe-{os.getpid()}"
    os.mkdir(name, 0o700, dir_fd=directory_fd)
    place = os.path.join(call.arguments["directory"], name)  # noqa: PTH118 - workers load no pathlib
    try:
        return _try(place)
    except OSError as error:
        return {"supported": False, "reason": str(about(error, "", ""))}
    finally:
        remove_tree(directory_fd, name)


def _try(place: str) -> Result:
    lower, upper, work = (f"{place}/{part}" for part in ("lower", "upper", "work"))
    for path in (lower, upper, work):
        os.mkdir(path, 0o700)  # noqa: PTH102 - as above
    os.close(os.open(f"{lower}/file", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    # What marks an opaque directory: not every file system that overlay stands on has it.
    os.setxattr(upper, OVERLAY_OPAQUE, b"n")
    root_fd = open_root({"lower": [lower], "upper": upper, "work": work}, writable=True)
    try:
        os.unlink("file", dir_fd=root_fd)
    finally:
        os.close(root_fd)
    status = os.lstat(f"{upper}/file")
    supported = stat.S_ISCHR(status.st_mode) and is_whiteout(status)
    return {"supported": supported, "reason": "" if supported else "whiteouts are not devices"}
