"""Names of systemd's cgroups: "slice:prefix:name", and where systemd puts a slice.

Pure. The form belongs to the systemd driver; what does not have it is a plain path.
"""

from __future__ import annotations

from moorage.cgroups.errors import CgroupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

DEFAULT_SLICE: Final = "system.slice"


class UnitPath:
    """A transient unit: `unit` ("docker-<id>.scope") below `slice` ("system.slice")."""

    __slots__ = ("slice", "unit")

    def __init__(self, *, slice: str, unit: str) -> None:  # noqa: A002 - systemd's own word
        self.slice = slice
        self.unit = unit

    def path(self) -> str:
        """Return the unit's cgroup from the hierarchy's root."""
        return f"{expand_slice(self.slice)}/{self.unit}"


def parse_unit_path(text: str) -> UnitPath | None:
    """Return the unit that "slice:prefix:name" means, or None for a plain path.

    Raises:
        CgroupError: It has colons but isn't of that form.
    """
    if ":" not in text or text.startswith("/"):
        return None
    parts = text.split(":")
    if len(parts) != 3 or not parts[2]:
        raise CgroupError(f'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got {text!r}')
    slice_name, prefix, name = parts
    if not name.endswith(".slice"):
        name = f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    return UnitPath(slice=slice_name or DEFAULT_SLICE, unit=name)


def expand_slice(name: str) -> str:
    """Return the cgroup of a slice: "a-b.slice" is "/a.slice/a-b.slice", "-.slice" the root.

    Raises:
        CgroupError: It is no name of a slice.
    """
    stem = name.removesuffix(".slice")
    if stem == name or not stem or "/" in name:
        raise CgroupError(f"invalid slice name: {name}")
    if stem == "-":
        return ""
    parts = stem.split("-")
    if not all(parts):
        raise CgroupError(f"invalid slice name: {name}")
    return "".join(f"/{'-'.join(parts[: end + 1])}.slice" for end in range(len(parts)))
