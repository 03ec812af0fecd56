"""Show networks."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from moorage.api import networks as api
from moorage.api.filters import Filters, InvalidFilterError
from moorage.api.timestamps import format_time
from moorage.networks.errors import NetworkNotFoundError
from moorage.networks.models import Endpoint, Network, Pool, Sandbox
from moorage.networks.registry import NetworkRegistry
from moorage.networks.sandboxes import Sandboxes

#: Counts end at what 64 bits can hold.
_MOST = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkLister:
    """Lists and inspects networks."""

    registry: NetworkRegistry
    sandboxes: Sandboxes

    def list(self, *, filters: Filters, with_containers: bool = False) -> list[api.Network]:
        """Return the networks that pass the filters.

        Args:
            with_containers: Whether clients older than API 1.28 ask.

        Raises:
            InvalidFilterError: A filter's value makes no sense.
        """
        builtin = _wanted_type(filters)
        dangling = filters.boolean("dangling", default=False) if "dangling" in filters else None
        return [
            self._describe(network, with_containers=with_containers)
            for network in self.registry.all()
            if _matches(network, filters)
            and (builtin is None or builtin is not network.user_defined)
            and (dangling is None or dangling is self._dangles(network))
        ]

    def inspect(self, reference: str, *, scope: str = "", status: bool = False) -> api.Network:
        """Return one network with its running containers.

        Args:
            status: Count the addresses too.

        Raises:
            NetworkNotFoundError: Nothing matches, or not in this scope.
        """
        network = self.registry.find(reference)
        if scope not in {"", "local"}:
            raise NetworkNotFoundError(reference)
        described = self._describe(network, with_containers=True)
        return msgspec.structs.replace(described, status=self._status(network)) if status else described

    def _status(self, network: Network) -> api.NetworkStatus:
        subnets = {
            str(book.subnet): api.SubnetStatus(
                ips_in_use=min(book.in_use, _MOST), dynamic_ips_available=min(book.available, _MOST)
            )
            for book in self.registry.books(network)
        }
        return api.NetworkStatus(ipam=api.IPAMStatus(subnets=subnets))

    def _dangles(self, network: Network) -> bool:
        return network.user_defined and next(self.sandboxes.on_network(network.id), None) is None

    def _describe(self, network: Network, *, with_containers: bool) -> api.Network:
        containers: dict[str, api.EndpointResource] = {}
        if with_containers:
            containers = {
                sandbox.container_id: _resource(sandbox, one) for sandbox, one in self.sandboxes.on_network(network.id)
            }
        return describe(network, containers=containers)


def describe(network: Network, *, containers: Mapping[str, api.EndpointResource]) -> api.Network:
    """Return a network as the API shows it."""
    return api.Network(
        name=network.name,
        id=network.id,
        created=format_time(network.created_ns),
        scope="local",
        driver=network.driver,
        enable_ipv4=network.enable_ipv4,
        enable_ipv6=network.enable_ipv6,
        ipam=api.IPAM(
            driver=network.ipam_driver,
            options=dict(network.ipam_options) if network.ipam_options is not None else None,
            config=[_pool(pool) for pool in network.pools] or None,
        ),
        internal=network.internal,
        attachable=network.attachable,
        config_from=api.ConfigReference(network=network.config_from),
        config_only=network.config_only,
        containers=dict(containers),
        options=dict(network.options),
        labels=dict(network.labels),
    )


def _pool(pool: Pool) -> api.IPAMConfig:
    return api.IPAMConfig(
        subnet=pool.subnet, ip_range=pool.ip_range, gateway=pool.gateway, auxiliary_addresses=dict(pool.auxiliary)
    )


def _resource(sandbox: Sandbox, one: Endpoint) -> api.EndpointResource:
    return api.EndpointResource(
        name=sandbox.container_name,
        endpoint_id=one.id,
        mac_address=one.mac,
        ipv4_address=one.ipv4,
        ipv6_address=one.ipv6,
    )


def _matches(network: Network, filters: Filters) -> bool:
    return (
        filters.matches("driver", network.driver)
        and filters.matches("scope", "local")
        and filters.matches_pattern("id", network.id)
        and filters.matches_pattern("name", network.name)
        and filters.matches_labels(network.labels)
    )


def _wanted_type(filters: Filters) -> bool | None:
    wanted = filters.get("type")
    for value in wanted:
        if value not in {"custom", "builtin"}:
            raise InvalidFilterError("type", wanted)
    return None if len(set(wanted)) != 1 else wanted[0] == "builtin"
