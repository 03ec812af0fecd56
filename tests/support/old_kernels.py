"""Kernels older than the one under the tests, as far as Moorage can tell them apart."""

import errno
from typing import Any

import pytest

from moorage.kernel import mount_fd
from moorage.kernel.mount_fd import FsConfig


def without_layers_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have overlay behave as before Linux 6.5.

    It takes any option without a word, cuts none but refuses those longer than 255 bytes,
    and says that it does not know one when the file system is created.
    """
    real = mount_fd.fsconfig
    unknown: set[int] = set()

    def old(fs_fd: int, command: FsConfig, key: str | None = None, value: Any = None, *rest: Any) -> None:
        if key == "lowerdir+":
            unknown.add(fs_fd)
            return
        if (isinstance(value, str) and len(value) > 255) or (command == FsConfig.CMD_CREATE and fs_fd in unknown):
            unknown.discard(fs_fd)
            raise OSError(errno.EINVAL, "Invalid argument")
        real(fs_fd, command, key, value, *rest)

    monkeypatch.setattr(mount_fd, "fsconfig", old)
