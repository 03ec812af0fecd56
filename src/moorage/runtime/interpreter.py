"""Running from an interpreter that nothing inside a container can overwrite.

Before its program replaces it, a container's first process is this interpreter, and
/proc/<pid>/exe leads to the host's file (CVE-2019-5736). So the calls that enter a
container first start themselves anew from a read-only mount of that file, which belongs
to no namespace and so can't be made writable.
"""

from __future__ import annotations

import os
import sys

from moorage.kernel import mount_fd
from moorage.kernel.libc import AT_EMPTY_PATH, AT_FDCWD
from moorage.kernel.mount_fd import MountAttr

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH100, PTH118, PTH120, PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

_EXECUTABLE: Final = "/proc/self/exe"
_LIBRARY_PATH: Final = "LD_LIBRARY_PATH"


def protect_interpreter(arguments: Sequence[str]) -> None:
    """Start the program anew from a read-only interpreter; return if it runs from one already.

    Args:
        arguments: The command line without the program's name.

    Raises:
        OSError: There can be no such interpreter.
    """
    # Nothing to do for who may not write to the file anyway, as most users.
    if not os.access(_EXECUTABLE, os.W_OK):
        return
    flags = mount_fd.OPEN_TREE_CLONE | mount_fd.OPEN_TREE_CLOEXEC
    tree_fd = mount_fd.open_tree(AT_FDCWD, _EXECUTABLE, flags)
    read_only = mount_fd.mount_attributes(attr_set=MountAttr.RDONLY)
    mount_fd.mount_setattr(tree_fd, "", AT_EMPTY_PATH, read_only)
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")
    base: str = getattr(sys, "_base_executable", None) or sys.executable
    os.execve(tree_fd, [base, "-I", "-S", program, *arguments], _environment())  # noqa: S606


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    if directory := _library_directory():
        # A shared libpython is found relative to the interpreter's own path, which a
        # detached mount does not have.
        environment[_LIBRARY_PATH] = ":".join(filter(None, (directory, environment.get(_LIBRARY_PATH))))
    return environment


def _library_directory() -> str:
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        for line in maps:
            directory, _, name = line.rstrip("\n").rpartition("/")
            if name.startswith("libpython"):
                return directory[directory.index("/") :]
    return ""
