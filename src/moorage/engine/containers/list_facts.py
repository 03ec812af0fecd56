"""What the filters of a list look up in images and networks."""

from collections.abc import Iterable
from dataclasses import dataclass

from moorage.api.containers import PortSummary
from moorage.engine.containers.ports import Images, Networks
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.sandboxes import container_networks
from moorage.errors import MoorageError


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineListFacts:
    """The `ListFacts` of this engine."""

    images: Images
    networks: Networks

    def ancestors(self, image: str) -> frozenset[str]:
        """Return the IDs of an image and of all images made from it; nothing for one that is missing."""
        try:
            pending = [self.images.resolve(image)]
        except MoorageError:
            return frozenset()
        family: set[str] = set()
        while pending:
            found = pending.pop()
            if found.id not in family:
                family.add(found.id)
                pending += self.images.children(found.id)
        return frozenset(family)

    def ports(self, record: ContainerRecord) -> Iterable[PortSummary]:
        """Return a running container's ports, published or only exposed."""
        return self.networks.port_summaries(container_networks(record))

    def attached(self, record: ContainerRecord) -> Iterable[tuple[str, str]]:
        """Return name and ID of the networks a container is attached to."""
        settings = self.networks.endpoint_settings(container_networks(record))
        return [(name, endpoint.network_id) for name, endpoint in settings.items()]
