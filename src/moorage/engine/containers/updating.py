"""Change a container's limits and restart policy; a running one feels them at once.

Spec: Engine API, POST /containers/{id}/update.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from moorage import faults
from moorage.api.host_config import HostConfig, ThrottleDevice, UpdateRequest
from moorage.engine.bundles.host_facts import HostFacts
from moorage.engine.bundles.resources import spec_resources
from moorage.engine.bundles.validation import (
    DEVICE_LIMITS,
    THROTTLES,
    check_change,
    check_policy_fits,
    check_update,
)
from moorage.engine.containers.errors import ContainerStateError
from moorage.engine.containers.locks import ContainerLocks
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.tasks import Tasks
from moorage.errors import MoorageError

_FIELDS: Final = {
    "memory": ("memory", "memory_swap", "memory_reservation"),
    "cpu": (
        "cpu_shares", "nano_cpus", "cpu_period", "cpu_quota", "cpu_realtime_period", "cpu_realtime_runtime",
        "cpuset_cpus", "cpuset_mems",
    ),
    "pids": ("pids_limit",),
    "blockIO": ("blkio_weight", *DEVICE_LIMITS),
}  # fmt: skip
_NO_DEVICES: Final = dict.fromkeys(DEVICE_LIMITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerUpdater:
    """Changes limits."""

    registry: ContainerRegistry
    locks: ContainerLocks
    tasks: Tasks
    events: EventPublisher
    host: HostFacts

    async def update(self, reference: str, change: UpdateRequest) -> list[str]:
        """Apply new limits and return warnings; nothing is stored that the kernel refused.

        Raises:
            InvalidParameterError: The limits contradict each other.
            ContainerNotFoundError: Nothing matches `reference`.
            MoorageError: The limits contradict the container's state, or the kernel refuses them.
        """
        change, warnings = check_change(change, host=self.host)
        container_id = self.registry.resolve(reference).id
        async with self.locks.hold(container_id):
            record = self.registry.get(container_id)
            try:
                await self._apply(record, change)
            except MoorageError as error:
                error.args = (f"Cannot update container {container_id}: {error}",)
                raise
        self.events.publish("container", "update", container_id, record.event_attributes())
        return warnings

    async def _apply(self, record: ContainerRecord, change: UpdateRequest) -> None:
        if record.state.removing or record.state.dead:
            raise ContainerStateError('container is marked for removal and cannot be "update"')
        check_policy_fits(change.restart_policy, record.config)
        host_config = check_update(record.host_config, change)
        limits = changed_limits(record.host_config, host_config)
        if limits and record.state.has_process:
            await self.tasks.get(record.id).update(limits)
            faults.point("update:applied")
        definition = dataclasses.replace(record.definition, host_config=host_config)
        await self.registry.save(dataclasses.replace(self.registry.get(record.id), definition=definition))


def changed_limits(old: HostConfig, new: HostConfig) -> dict[str, Any]:
    """Return the parts of ``linux.resources`` that differ, each of them whole; none for no difference.

    Whole, because the kernel takes some values together (quota and period, memory and swap);
    not everything, because a limit that nobody touched must not be the reason to fail.

    Raises:
        DevicePathError: A block device of a limit is missing.
    """
    changed = [name for name, fields in _FIELDS.items() if any(getattr(old, at) != getattr(new, at) for at in fields)]
    new = _with_lifted(old, new) if "blockIO" in changed else msgspec.structs.replace(new, **_NO_DEVICES)
    resources = spec_resources(new, device_rules=())
    limits = {name: resources[name] for name in changed if name in resources}
    if "pids" in changed and not new.pids_limit:
        limits["pids"] = {"limit": -1}
    return limits


def _with_lifted(old: HostConfig, new: HostConfig) -> HostConfig:
    """Name the devices that are limited no more, so that the kernel forgets their limits."""
    lifted: dict[str, list[ThrottleDevice]] = {}
    for name in THROTTLES:
        kept = getattr(new, name) or []
        paths = {device.path for device in kept}
        gone = [device.path for device in getattr(old, name) or [] if device.path not in paths]
        if gone:
            lifted[name] = [*(ThrottleDevice(path=path) for path in gone), *kept]
    return msgspec.structs.replace(new, **lifted) if lifted else new
