"""The state of a container as the specification shows it, and as it is kept on disk.

Spec: runtime-spec, runtime.md "State".
"""

from __future__ import annotations

import enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from moorage.runtime.specification import Spec

OCI_VERSION: Final = "1.3.0"


class Status(enum.StrEnum):
    """What a container is doing."""

    CREATING = "creating"
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


def oci_state(spec: Spec, *, container_id: str, bundle: str, pid: int, status: Status) -> dict[str, Any]:
    """Return the state that hooks read and the `state` command prints."""
    state: dict[str, Any] = {
        "ociVersion": spec.get("ociVersion", OCI_VERSION),
        "id": container_id,
        "status": status.value,
        "pid": pid,
        "bundle": bundle,
    }
    if spec.get("annotations"):
        state["annotations"] = spec["annotations"]
    return state
