"""Handlers of the noun volume."""

import dataclasses
from typing import Final

from moorage.api import endpoints, volumes
from moorage.api.endpoint import NoBody
from moorage.api.query import NoQuery
from moorage.api.versions import Version
from moorage.server.calls import Call
from moorage.server.handlers.cluster import NotManagerError
from moorage.server.router import Router
from moorage.volumes.models import Volume
from moorage.volumes.service import VolumeService

#: With them, `docker volume prune` began to spare named volumes.
_CLUSTER_VOLUMES: Final = Version(1, 42)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VolumeHandlers:
    """List, create, inspect, remove and prune volumes."""

    service: VolumeService

    def bind(self, router: Router) -> None:
        """Give the router every handler of this noun."""
        router.bind(endpoints.VOLUME_LIST, self.list)
        router.bind(endpoints.VOLUME_CREATE, self.create)
        router.bind(endpoints.VOLUME_INSPECT, self.inspect)
        router.bind(endpoints.VOLUME_DELETE, self.remove)
        router.bind(endpoints.VOLUME_PRUNE, self.prune)

    def list(self, call: Call[volumes.VolumeListQuery, NoBody]) -> volumes.VolumeListResponse:
        """Answer GET /volumes."""
        found = self.service.matching(call.query.filters)
        return volumes.VolumeListResponse(volumes=[_shown(volume) for volume in found])

    async def create(self, call: Call[NoQuery, volumes.VolumeCreateRequest]) -> volumes.Volume:
        """Answer POST /volumes/create."""
        body = call.body
        if body.cluster_volume_spec is not None and call.version >= _CLUSTER_VOLUMES:
            raise NotManagerError
        volume = await self.service.create(
            body.name, driver=body.driver or "local", options=body.driver_opts, labels=body.labels or None
        )
        return _shown(volume)

    def inspect(self, call: Call[NoQuery, NoBody]) -> volumes.Volume:
        """Answer GET /volumes/{name}."""
        return _shown(self.service.get(call.path["name"]))

    async def remove(self, call: Call[volumes.VolumeDeleteQuery, NoBody]) -> None:
        """Answer DELETE /volumes/{name}."""
        await self.service.remove(call.path["name"], force=call.query.force)

    async def prune(self, call: Call[volumes.VolumePruneQuery, NoBody]) -> volumes.VolumePruneResponse:
        """Answer POST /volumes/prune; before 1.42 named volumes went too."""
        filters = call.query.filters
        named = call.version < _CLUSTER_VOLUMES or filters.boolean("all", default=False)
        pruned = await self.service.prune(filters.without("all"), named=named)
        return volumes.VolumePruneResponse(volumes_deleted=[*pruned.names], space_reclaimed=pruned.bytes)


def _shown(volume: Volume) -> volumes.Volume:
    return volumes.Volume(
        created_at=volume.created_at,
        driver=volume.driver,
        labels=None if volume.labels is None else dict(volume.labels),
        mountpoint=volume.mountpoint,
        name=volume.name,
        options=None if volume.options is None else dict(volume.options),
        scope="local",
    )
