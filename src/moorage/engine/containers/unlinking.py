"""Remove a link between containers.

Spec: Engine API, DELETE /containers/{id}, "link".
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from moorage.engine.containers.errors import ContainerNotFoundError, RequestFailedError
from moorage.engine.containers.links import links_of
from moorage.engine.containers.locks import ContainerLocks
from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.containers.registry import ContainerRegistry
from moorage.networks.names import link_names


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRemover:
    """Removes links; both containers stay."""

    registry: ContainerRegistry
    locks: ContainerLocks
    paths: ContainerPaths

    async def remove(self, name: str) -> None:
        """Remove a link by its full name.

        Raises:
            ContainerNotFoundError: There is no such link.
            RequestFailedError: It is a container's own name.
        """
        linking, _, alias = name.lstrip("/").rpartition("/")
        if not linking:
            self.registry.resolve(name)
            raise RequestFailedError("Conflict, cannot remove the default link name of the container")
        container_id = self.registry.resolve(linking).id
        async with self.locks.hold(container_id):
            record = self.registry.get(container_id)
            if alias not in links_of(record):
                raise ContainerNotFoundError(name)
            kept = [link for link in record.host_config.links or () if link_names(link)[1] != alias]
            host_config = msgspec.structs.replace(record.host_config, links=kept or None)
            definition = dataclasses.replace(record.definition, host_config=host_config)
            await self.registry.save(dataclasses.replace(record, definition=definition))
            hosts = self.paths.directory(container_id) / "hosts"
            if record.state.running and hosts.exists():
                # In place: the container has this very file mounted.
                hosts.write_text("".join(_without_name(hosts.read_text(), alias)))


def _without_name(hosts: str, name: str) -> Iterator[str]:
    for line in hosts.splitlines(keepends=True):
        address, separator, names = line.rstrip("\n").partition("\t")
        words = names.split(" ")
        if separator and name in words:
            words.remove(name)
            yield f"{address}\t{' '.join(words)}\n"
        else:
            yield line
