"""Which user namespace each container gets."""

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from moorage.api.host_config import HostConfig
from moorage.engine.bundles.modes import joined_container
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.userns.allocation import DEFAULT_POOL, Span, allocate, requested_size
from moorage.engine.userns.mapping import IdMapping
from moorage.errors import InvalidParameterError, NotSupportedError

_JOINABLE: Final = {"network_mode": "network", "ipc_mode": "IPC", "pid_mode": "PID"}


class UserNamespaceConflictError(InvalidParameterError):
    """A container in a user namespace of its own asks for what is the host's, or another container's."""


class UserNamespacesMissingError(NotSupportedError):
    """This kernel, file system or runtime makes no user namespaces for containers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserNamespaces:
    """Decides on mappings.

    Attributes:
        remap: Of all containers that ask for nothing else (`userns-remap`); None without.
        uid_pool: Users of the host for `--userns=auto`; likewise groups.
        records: All containers, whose ranges are taken.
        why_not: Says why owners can't be mapped here; empty if they can.
        native: Whether a runtime of this name is Moorage's own.
    """

    records: Callable[[], Iterable[ContainerRecord]]
    why_not: Callable[[], Awaitable[str]]
    native: Callable[[str], bool]
    remap: IdMapping | None = None
    uid_pool: Sequence[Span] = DEFAULT_POOL
    gid_pool: Sequence[Span] = DEFAULT_POOL
    _reserved: list[IdMapping] = field(default_factory=list)

    def is_private(self, host_config: HostConfig) -> bool:
        """Whether a container is in another user namespace than the host.

        Raises:
            UserNamespaceModeError: The mode means nothing.
        """
        if requested_size(host_config.userns_mode) is not None:
            return True
        return self.remap is not None and host_config.userns_mode != "host"

    async def check(self, host_config: HostConfig) -> None:
        """Refuse what can't be in a user namespace.

        Raises:
            InvalidParameterError: In Docker's words.
            UserNamespacesMissingError: The host makes none.
        """
        if not self.is_private(host_config):
            return
        _check_conflicts(host_config)
        if host_config.userns_mode:
            for attribute, kind in _JOINABLE.items():
                if joined_container(getattr(host_config, attribute)) is not None:
                    raise UserNamespaceConflictError(
                        f"conflicting options: a user namespace of its own and the {kind} mode of another container"
                    )
        if not self.native(host_config.runtime):
            raise UserNamespacesMissingError(
                f"user namespaces are not supported with the runtime {host_config.runtime}: "
                "Moorage makes them with its own runtime only"
            )
        if reason := await self.why_not():
            raise UserNamespacesMissingError(f"user namespaces are not supported on this host: {reason}")

    @contextlib.contextmanager
    def reserve(self, host_config: HostConfig) -> Iterator[IdMapping | None]:
        """Find a range for a new container that wants its own, and keep it for the block: until it is recorded.

        Raises:
            NoFreeRangeError: None is left.
        """
        size = requested_size(host_config.userns_mode)
        if size is None:
            yield None
            return
        mapping = allocate(size, uid_pool=self.uid_pool, gid_pool=self.gid_pool, taken=self._taken())
        self._reserved.append(mapping)
        try:
            yield mapping
        finally:
            self._reserved.remove(mapping)

    def mapping(self, record: ContainerRecord) -> IdMapping | None:
        """Return the mapping a container starts with; None in the host's user namespace."""
        if record.definition.id_mapping is not None:
            return record.definition.id_mapping
        return self.remap if self.is_private(record.host_config) else None

    def check_join(self, record: ContainerRecord, target: ContainerRecord) -> None:
        """Refuse to join a namespace that belongs to another user namespace than the container's own.

        Raises:
            UserNamespaceConflictError: The two have different users.
        """
        own = self.mapping(record)
        if own is not None and own != self.mapping(target):
            raise UserNamespaceConflictError(
                f"cannot join a namespace of container {target.id}: it is in another user namespace"
            )

    def _taken(self) -> list[IdMapping]:
        recorded = [mapping for record in self.records() if (mapping := record.definition.id_mapping) is not None]
        return [*recorded, *self._reserved, *([self.remap] if self.remap else [])]


def _check_conflicts(host_config: HostConfig) -> None:
    if host_config.privileged:
        raise UserNamespaceConflictError(
            "privileged mode is incompatible with user namespaces.  "
            "You must run the container in the host namespace when running privileged mode"
        )
    if host_config.network_mode == "host":
        raise UserNamespaceConflictError("cannot share the host's network namespace when user namespaces are enabled")
    if host_config.pid_mode == "host":
        raise UserNamespaceConflictError("cannot share the host PID namespace when user namespaces are enabled")
