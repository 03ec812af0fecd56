"""Writing a running container to files.

Its network namespace stays out of them: whoever restores the container makes its interfaces,
as at any start. So do the files and directories that are mounted from the host.
"""

from __future__ import annotations

import contextlib
import json
import os

from moorage.runtime.criu.conversation import converse, explain
from moorage.runtime.criu.messages import Request
from moorage.runtime.criu.outside import EXTERNAL_NAMESPACES, external_mounts
from moorage.runtime.criu.settings import DESCRIPTORS, MOUNTS
from moorage.runtime.errors import StartError
from moorage.runtime.specification import namespace_paths

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH102, PTH112, PTH115, PTH116, PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from moorage.runtime.containment import Containment
    from moorage.runtime.criu.settings import Settings
    from moorage.runtime.specification import Spec

_LOG: Final = "dump.log"


def dump(pid: int, spec: Spec, settings: Settings, *, frozen: str = "") -> None:
    """Write a container's processes; unless they are left running, they are killed then.

    Args:
        pid: The container's first process.
        frozen: The directory of the cgroup that holds them still, if they are paused.

    Raises:
        StartError: CRIU is not there, or could not do it: the container runs on.
        OSError: A file can't be written.
    """
    options = settings.common_options(spec) | {
        "pid": pid,
        "log_file": _LOG,
        "leave_running": settings.leave_running,
        "parent_img": settings.parent_path,
        "track_mem": bool(settings.parent_path) or settings.pre_dump,
        "external": _external_namespaces(pid, spec),
        "freeze_cgroup": frozen,
    }
    image_fd, work_fd = (open_directory(path) for path in (settings.image_path, settings.log_directory()))
    try:
        options |= {"images_dir_fd": image_fd, "work_dir_fd": work_fd}
        if not settings.pre_dump:
            options["ext_mnt"] = _note_what_is_outside(pid, spec, settings.image_path)
        kind = Request.PRE_DUMP if settings.pre_dump else Request.DUMP
        converse(settings.program, kind, lambda _pid: options)
    except StartError as error:
        raise explain(error, log_path=f"{settings.log_directory()}/{_LOG}") from error
    finally:
        os.close(image_fd)
        os.close(work_fd)


def freezer_of(cgroup: Containment) -> str:
    """Return the directory of a cgroup in which its processes are paused."""
    directories = cgroup.directories
    return directories.get("freezer") or directories.get("cgroup", "")


def open_directory(path: str) -> int:
    """Open a directory, made if missing, whose parent there must be."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _external_namespaces(pid: int, spec: Spec) -> list[str]:
    paths = namespace_paths(spec)
    external = []
    for kind, (word, key) in EXTERNAL_NAMESPACES.items():
        # Interfaces are made anew, whose ever the namespace is.
        if paths.get(kind) or (kind == "network" and kind in paths):
            external.append(f"{word}[{os.stat(f'/proc/{pid}/ns/{word}').st_ino}]:{key}")
    return external


def _note_what_is_outside(pid: int, spec: Spec, image_path: str) -> list[tuple[str, str]]:
    streams = [os.readlink(f"/proc/{pid}/fd/{number}") if _is_open(pid, number) else "" for number in range(3)]
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        points = external_mounts(spec, lines, is_directory=lambda path: os.path.isdir(f"/proc/{pid}/root{path}"))
    _write(f"{image_path}/{DESCRIPTORS}", streams)
    _write(f"{image_path}/{MOUNTS}", points)
    return [(point, point) for point in points]


def _is_open(pid: int, number: int) -> bool:
    return os.path.lexists(f"/proc/{pid}/fd/{number}")


def _write(path: str, value: Any) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file)
