"""Intel Resource Director Technology: cache and memory bandwidth by class of service.

Spec: runtime-spec, config-linux.md "IntelRdt"; Linux, Documentation/filesystems/resctrl.rst.
"""

from __future__ import annotations

import contextlib
import os

from moorage.runtime.errors import StartError, describe

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH103, PTH106, PTH110, PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

_MOUNT_POINT: Final = "/sys/fs/resctrl"


class ResctrlGroup:
    """A container's class of service.

    Attributes:
        directory: The group; shared with others if `closID` names it.
    """

    __slots__ = ("_container_id", "_settings", "directory")

    def __init__(self, settings: Mapping[str, Any], *, container_id: str, mount_point: str = _MOUNT_POINT) -> None:
        """Describe the group; nothing is made yet.

        Raises:
            StartError: The host has no such file system, or the class is no file name.
        """
        if not os.path.exists(f"{mount_point}/schemata"):
            raise StartError(f"intelRdt: no resctrl file system is mounted at {mount_point} on this host")
        name = settings.get("closID") or container_id
        if "/" in name or name in {".", ".."}:
            raise StartError(f"intelRdt: closID {name!r} is no file name")
        self._settings = settings
        self._container_id = container_id
        self.directory = f"{mount_point}/{name}"

    def enter(self, pid: int) -> None:
        """Make the group if it is missing, set it up, and put a process in.

        Raises:
            StartError: A schema is refused, or an existing group has another one.
        """
        try:
            self._enter(pid)
        except OSError as error:
            raise StartError(f"intelRdt: {describe(error)}") from error

    def _enter(self, pid: int) -> None:
        lines = schema_lines(self._settings)
        if os.path.exists(self.directory) and self._settings.get("closID"):
            self._check(lines)
        else:
            if self._settings.get("closID") and not lines:
                raise StartError(f"intelRdt: there is no class {self._settings['closID']!r}, and no schema to make it")
            os.makedirs(self.directory, exist_ok=True)
            for line in lines:
                _write(f"{self.directory}/schemata", f"{line}\n")
        _write(f"{self.directory}/tasks", str(pid))
        if self._settings.get("enableMonitoring"):
            os.makedirs(self._monitor, exist_ok=True)
            _write(f"{self._monitor}/tasks", str(pid))

    def update(self) -> None:
        """Write the settings' schemata into the group, which is there.

        Raises:
            StartError: A schema is refused, or there is no group.
        """
        try:
            for line in schema_lines(self._settings):
                _write(f"{self.directory}/schemata", f"{line}\n")
        except OSError as error:
            raise StartError(f"intelRdt: {describe(error)}") from error

    def _check(self, lines: list[str]) -> None:
        with open(f"{self.directory}/schemata", encoding="ascii") as file:
            present = {line.strip().replace(" ", "") for line in file}
        missing = [line for line in lines if line.replace(" ", "") not in present]
        if missing:
            raise StartError(f"intelRdt: class {self._settings['closID']!r} exists with other schemata than {missing}")

    @property
    def _monitor(self) -> str:
        return f"{self.directory}/mon_groups/{self._container_id}"

    def leave(self) -> None:
        """Remove what is the container's alone."""
        for directory in (self._monitor, None if self._settings.get("closID") else self.directory):
            if directory is not None:
                with contextlib.suppress(OSError):
                    os.rmdir(directory)


def schema_lines(settings: Mapping[str, Any]) -> list[str]:
    """Return the lines for the schemata file, in the order in which they are to be written."""
    lines: list[str] = []
    for name in ("l3CacheSchema", "memBwSchema"):
        lines += (settings.get(name) or "").splitlines()
    return [*lines, *(settings.get("schemata") or ())]


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
