"""Reading a runtime specification: absent, null and empty parts are one thing."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Spec = Mapping[str, Any]


def section(spec: Spec, *path: str) -> dict[str, Any]:
    """Return the object at `path`, or an empty one."""
    found: Any = spec
    for name in path:
        found = found.get(name) or {}
    result: dict[str, Any] = found
    return result


def entries(spec: Spec, *path: str) -> list[Any]:
    """Return the list at `path`, or an empty one."""
    *parents, last = path
    result: list[Any] = section(spec, *parents).get(last) or []
    return result


def namespace_paths(spec: Spec) -> dict[str, str]:
    """Return the specified namespaces by type; an empty path asks for a new one."""
    return {entry["type"]: entry.get("path") or "" for entry in entries(spec, "linux", "namespaces")}
