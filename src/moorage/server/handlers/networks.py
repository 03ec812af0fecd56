"""Handlers of the noun network."""

from dataclasses import dataclass
from typing import Final

from moorage.api import endpoints
from moorage.api import networks as api
from moorage.api.endpoint import NoBody
from moorage.api.query import NoQuery
from moorage.api.versions import Version
from moorage.networks.connecting import NetworkConnector
from moorage.networks.creating import NetworkCreator
from moorage.networks.listing import NetworkLister
from moorage.networks.removing import NetworkRemover
from moorage.server.calls import Call
from moorage.server.router import Router

_LIST_WITHOUT_CONTAINERS: Final = Version(1, 28)
_SHOWS_STATUS: Final = Version(1, 52)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkHandlers:
    """Decode nothing, call one service, shape the answer."""

    creator: NetworkCreator
    lister: NetworkLister
    remover: NetworkRemover
    connector: NetworkConnector

    def bind(self, router: Router) -> None:
        """Tell the router which operations these are."""
        router.bind(endpoints.NETWORK_LIST, self.list)
        router.bind(endpoints.NETWORK_INSPECT, self.inspect)
        router.bind(endpoints.NETWORK_DELETE, self.delete)
        router.bind(endpoints.NETWORK_CREATE, self.create)
        router.bind(endpoints.NETWORK_CONNECT, self.connect)
        router.bind(endpoints.NETWORK_DISCONNECT, self.disconnect)
        router.bind(endpoints.NETWORK_PRUNE, self.prune)

    def list(self, call: Call[api.NetworkListQuery, NoBody]) -> list[api.Network]:
        """GET /networks."""
        return self.lister.list(filters=call.query.filters, with_containers=call.version < _LIST_WITHOUT_CONTAINERS)

    def inspect(self, call: Call[api.NetworkInspectQuery, NoBody]) -> api.Network:
        """GET /networks/{id}."""
        return self.lister.inspect(call.path["id"], scope=call.query.scope, status=call.version >= _SHOWS_STATUS)

    async def delete(self, call: Call[NoQuery, NoBody]) -> None:
        """DELETE /networks/{id}."""
        await self.remover.remove(call.path["id"])

    async def create(self, call: Call[NoQuery, api.NetworkCreateRequest]) -> api.NetworkCreateResponse:
        """POST /networks/create."""
        network = await self.creator.create(call.body)
        return api.NetworkCreateResponse(id=network.id)

    async def connect(self, call: Call[NoQuery, api.NetworkConnectRequest]) -> None:
        """POST /networks/{id}/connect."""
        await self.connector.connect(call.path["id"], call.body.container, call.body.endpoint_config)

    async def disconnect(self, call: Call[NoQuery, api.NetworkDisconnectRequest]) -> None:
        """POST /networks/{id}/disconnect."""
        await self.connector.disconnect(call.path["id"], call.body.container, force=call.body.force)

    async def prune(self, call: Call[api.NetworkPruneQuery, NoBody]) -> api.NetworkPruneResponse:
        """POST /networks/prune."""
        removed = await self.remover.prune(call.query.filters)
        return api.NetworkPruneResponse(networks_deleted=removed or None)
