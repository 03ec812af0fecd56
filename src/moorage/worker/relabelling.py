"""The job that gives a tree of the host another SELinux label."""

from __future__ import annotations

import errno
import os
import stat

from moorage.worker.failures import about
from moorage.worker.walking import walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moorage.worker.messages import Call, Result

_LABEL = "security.selinux"
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


def relabel(call: Call) -> Result:
    """Label everything below a path, and last the path itself; links are labelled, never followed.

    Arguments: `path`; `label`; `attribute`, which tests choose.

    Returns:
        `labelled`: False where the file system keeps no labels.
    """
    path = call.path("path")
    label = call.arguments["label"].encode()
    attribute = call.arguments.get("attribute", _LABEL)
    fd = os.open(path, _OPEN)
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            for entry in walk(fd):
                _set(b"/proc/self/fd/%d/%b" % (entry.parent_fd, entry.name), attribute, label)
        os.setxattr(fd, attribute, label)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {"labelled": False}
        raise about(error, path, "setxattr") from error
    finally:
        os.close(fd)
    return {"labelled": True}


def _set(path: bytes, attribute: str, label: bytes) -> None:
    try:
        os.setxattr(path, attribute, label, follow_symlinks=False)
    except FileNotFoundError:
        return  # removed by whoever uses the tree
