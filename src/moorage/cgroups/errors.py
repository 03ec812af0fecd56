"""What can go wrong with cgroups beyond an OSError."""

from __future__ import annotations


class CgroupError(Exception):
    """A cgroup can't be made, found or changed as asked; the message is one line."""


class MissingControllerError(CgroupError):
    """A value was asked for that needs a controller this host does not offer."""

    def __init__(self, controller: str, setting: str) -> None:
        super().__init__(f"the cgroup controller {controller!r} is not available on this host, and {setting} needs it")


class MissingFileError(CgroupError):
    """A value was asked for that needs a cgroup file this kernel does not have."""

    def __init__(self, directory: str, file: str) -> None:
        super().__init__(f"this kernel can't set {file}: there is no such file in {directory}")


class UnsupportedResourceError(CgroupError):
    """A value was asked for that this cgroup version has no notion of, or that makes no sense."""


class WriteRefusedError(CgroupError):
    """The kernel refused a value."""

    def __init__(self, path: str, value: str, reason: str | None) -> None:
        super().__init__(f"failed to write {value!r} to {path}: {reason}")
