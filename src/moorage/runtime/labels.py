"""Security labels of the next exec: AppArmor and SELinux, where the kernel has them.

The attribute files are opened while the host's /proc is there, and written as the last
thing before the exec they are for.
"""

from __future__ import annotations

import os

from moorage.runtime.errors import StartError, describe

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from moorage.runtime.specification import Spec

_APPARMOR: Final = "/sys/module/apparmor/parameters/enabled"
_SELINUX: Final = "/sys/fs/selinux/enforce"


class ExecLabel:
    """A label waiting to be set; owns the descriptor it is written to."""

    __slots__ = ("_fd", "_text")

    def __init__(self, path: str, text: str) -> None:
        self._text = text
        self._fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)

    @property
    def fds(self) -> list[int]:
        """The descriptors it needs."""
        return [self._fd]

    def apply(self) -> None:
        """Have the next exec take the label.

        Raises:
            StartError: The kernel knows no such label.
        """
        try:
            os.write(self._fd, self._text.encode())
        except OSError as error:
            raise StartError(f"unable to apply security label {self._text!r}: {describe(error)}") from error
        os.close(self._fd)


def exec_labels(process: Spec) -> list[ExecLabel]:
    """Return the labels that a process asks for; call it while the host's /proc is there.

    Raises:
        StartError: The host has no such security module.
    """
    labels = []
    profile, context = process.get("apparmorProfile"), process.get("selinuxLabel")
    if profile:
        if not apparmor_enabled():
            raise StartError("apparmor: config provided but apparmor not supported")
        path = "/proc/self/attr/apparmor/exec"
        legacy = "/proc/self/attr/exec"
        labels.append(ExecLabel(path if os.access(path, os.F_OK) else legacy, f"exec {profile}"))
    if context:
        if not selinux_enabled():
            raise StartError("selinux label is specified in config, but selinux is disabled or not supported")
        labels.append(ExecLabel("/proc/self/attr/exec", context))
    return labels


def apparmor_enabled() -> bool:
    """Tell whether the kernel confines programs by AppArmor."""
    try:
        with open(_APPARMOR) as file:
            return file.read(1) == "Y"
    except OSError:
        return False


def mount_label(label: str) -> str:
    """Return a label for new file systems, "" where the kernel knows none: there it means nothing."""
    return label if label and selinux_enabled() else ""


def selinux_enabled() -> bool:
    """Tell whether the kernel labels processes by SELinux."""
    return os.access(_SELINUX, os.F_OK)
