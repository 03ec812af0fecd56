"""The jobs that find out whether overlay can be had on a file system, and with mapped owners."""

from __future__ import annotations

import os
import stat

from moorage.kernel import overlay
from moorage.runtime.errors import StartError
from moorage.runtime.launch import OverlayRootfs
from moorage.runtime.mapped_root import open_mapped_directory, open_mapped_overlay
from moorage.worker.failures import JobError, about
from moorage.worker.removal import remove_tree
from moorage.worker.roots import open_root
from moorage.worker.whiteouts import is_whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from moorage.worker.messages import Call, Result

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Any two ranges will do; nobody is ever these.
_SOME_IDS: Final = [(0, 0x7FFE0000, 65536)]


def probe_overlay(call: Call) -> Result:
    """Mount an overlay with its directories on a file system, and remove a file in it.

    Arguments: `directory`, on the file system; nothing is left in it.

    Returns:
        `supported`; `reason` if not.
    """
    return _probe(call, _try)


def probe_fuse(call: Call) -> Result:
    """Have fuse-overlayfs put directories of a file system together, and remove a file in it.

    Arguments: `directory`, on the file system; nothing is left in it. `program`, its path.

    Returns:
        `supported`; `reason` if not.
    """
    return _probe(call, lambda place: _try_program(place, call.arguments["program"]))


def probe_mapping(call: Call) -> Result:
    """Map the owners of a root file system's directories, as a user namespace needs it.

    Arguments: `directory`, on the file system; nothing is left in it. `layered`: whether
    root file systems are overlays.

    Returns:
        `supported`; `reason` if not.
    """
    return _probe(call, _try_mapped_overlay if call.arguments["layered"] else _try_mapped)


def _probe(call: Call, attempt: Callable[[str], Result]) -> Result:
    directory_fd = os.open(call.path("directory"), _OPEN)
    name = f".overlay-probe-{os.getpid()}"
    os.mkdir(name, 0o700, dir_fd=directory_fd)
    place = os.path.join(call.arguments["directory"], name)  # noqa: PTH118 - workers load no pathlib
    try:
        return attempt(place)
    except OSError as error:
        return {"supported": False, "reason": str(about(error, "", ""))}
    except JobError as error:
        return {"supported": False, "reason": str(error)}
    except StartError as error:
        return {"supported": False, "reason": error.message}
    finally:
        remove_tree(directory_fd, name)


def _make_parts(place: str) -> list[str]:
    parts = [f"{place}/{part}" for part in ("lower", "upper", "work")]
    for path in parts:
        os.mkdir(path, 0o700)  # noqa: PTH102 - as above
    return parts


def _try(place: str) -> Result:
    lower, upper, work = _make_parts(place)
    os.close(os.open(f"{lower}/file", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    # What marks an opaque directory: not every file system that overlay stands on has it.
    os.setxattr(upper, overlay.OPAQUE, b"n")
    root_fd = open_root({"lower": [lower], "upper": upper, "work": work}, writable=True)
    try:
        os.unlink("file", dir_fd=root_fd)
    finally:
        os.close(root_fd)
    status = os.lstat(f"{upper}/file")
    supported = stat.S_ISCHR(status.st_mode) and is_whiteout(status)
    return {"supported": supported, "reason": "" if supported else "whiteouts are not devices"}


def _try_program(place: str, program: str) -> Result:
    lower, upper, work = _make_parts(place)
    os.close(os.open(f"{lower}/file", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    root_fd = open_root({"lower": [lower], "upper": upper, "work": work, "program": program}, writable=True)
    try:
        os.unlink("file", dir_fd=root_fd)
    finally:
        os.close(root_fd)
    return {"supported": True, "reason": ""}


def _try_mapped_overlay(place: str) -> Result:
    lower, upper, work = _make_parts(place)
    rootfs = OverlayRootfs(lower=[lower], upper=upper, work=work)
    os.close(open_mapped_overlay(rootfs, _SOME_IDS, _SOME_IDS))
    return {"supported": True, "reason": ""}


def _try_mapped(place: str) -> Result:
    os.close(open_mapped_directory(place, _SOME_IDS, _SOME_IDS))
    return {"supported": True, "reason": ""}
