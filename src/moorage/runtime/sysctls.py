"""Kernel parameters of the container's own namespaces.

Written through the host's /proc, held open since before the root changed: it shows the
namespaces of who looks, and nothing in the container can redirect the write
(CVE-2025-52881).
"""

from __future__ import annotations

import contextlib
import os

from moorage.runtime.errors import StartError
from moorage.runtime.validation import sysctl_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def open_proc_sys() -> int:
    """Open the directory of all parameters; return its O_PATH fd."""
    return os.open("/proc/sys", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def write_sysctls(values: Mapping[str, str], proc_sys_fd: int) -> None:
    """Set kernel parameters, which were validated to be namespaced.

    Raises:
        StartError: There is no such parameter, its name leads elsewhere, or the kernel refuses the value.
    """
    for name, value in values.items():
        path = sysctl_path(name)
        with _failure(f"open /proc/sys/{path}"):
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc_sys_fd)
        with _failure(f"write /proc/sys/{path}"):
            try:
                os.write(fd, str(value).encode())
            finally:
                os.close(fd)


@contextlib.contextmanager
def _failure(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StartError(f"{what}: {(error.strerror or str(error)).lower()}") from error
