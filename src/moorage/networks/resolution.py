"""How containers resolve names: their resolv.conf, and the files their resolvers read.

A container on a user's network has a resolver at 127.0.0.11, inside its own network
namespace. Its shim runs it, so that names are answered while the daemon is down. Shim
and daemon share no connection for it, only files that are replaced as a whole:

- a zone for each network: who has which names and addresses;
- for each container: which zones it sees, and whom to ask about all else.

The shim looks at the files' times with each question. Nothing of this is durable: it
describes what runs, and `restore` writes it anew.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from moorage.networks import names
from moorage.networks.host_files import HostFiles
from moorage.networks.models import Endpoint, NetworkOptions, Sandbox, SandboxRequest
from moorage.networks.names import Resolver
from moorage.networks.registry import NetworkRegistry
from moorage.networks.sandboxes import Sandboxes

RESOLVER_ADDRESS: Final = "127.0.0.11"
_HOST_RESOLVER: Final = "/etc/resolv.conf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The names of containers, as files.

    Attributes:
        directory: Where the files are, below the run root.
    """

    options: NetworkOptions
    registry: NetworkRegistry
    sandboxes: Sandboxes
    directory: Path
    host_files: HostFiles

    def restore(self) -> None:
        """Write the zones of all networks anew."""
        self._zones.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._resolvers.mkdir(parents=True, exist_ok=True, mode=0o700)
        networks = {network.id for network in self.registry.all() if network.user_defined}
        for stale in self._zones.iterdir():
            if stale.stem not in networks:
                stale.unlink()
        running = {sandbox.container_id for sandbox in self.sandboxes.all()}
        for stale in self._resolvers.iterdir():
            if stale.stem not in running:
                stale.unlink()
        for network_id in networks:
            self._write_zone(network_id)

    def changed(self, sandbox: Sandbox) -> None:
        """Write the zones anew that a container has joined, left, or been renamed in."""
        for one in sandbox.endpoints:
            if one.dns_names:
                self._write_zone(one.network_id)
        if self.sandboxes.get(sandbox.container_id) is None:
            self._resolver_path(sandbox.container_id).unlink(missing_ok=True)

    def forget_network(self, network_id: str) -> None:
        """Delete the zone of a network that is gone."""
        self._zone_path(network_id).unlink(missing_ok=True)

    def path_of(self, sandbox: Sandbox) -> str:
        """Return the file a sandbox's resolver reads, "" for one that can have no resolver."""
        return "" if sandbox.mode in {"host", "none", ""} else str(self._resolver_path(sandbox.container_id))

    def resolver_file(self, request: SandboxRequest, sandbox: Sandbox | None) -> str:
        """Return a container's resolv.conf; write what its resolver reads if it has one."""
        host = self._host_resolver()
        wanted = self._wanted(request, host)
        if sandbox is not None and sandbox.mode == "host":
            return self.host_files.read(_HOST_RESOLVER) if wanted == host else names.resolver_file(wanted)
        endpoints = sandbox.endpoints if sandbox else ()
        if sandbox is not None and any(one.dns_names for one in endpoints):
            self.write_resolver(request, sandbox)
            return names.resolver_file(names.embedded(wanted, server=RESOLVER_ADDRESS))
        if request.dns or self.options.dns:
            # Somebody has chosen them: a name server on the container's own localhost, it may be.
            return names.resolver_file(wanted)
        upstream = self.host_files.read(names.host_resolver_path(self.host_files.read(_HOST_RESOLVER)))
        reachable = names.reachable(
            self._wanted(request, names.read_resolver(upstream)), ipv6=any(one.ipv6 for one in endpoints)
        )
        return names.resolver_file(reachable)

    def write_resolver(self, request: SandboxRequest, sandbox: Sandbox) -> None:
        """Write which zones a container sees, and whom its resolver asks about all else."""
        zones = [
            {"file": str(self._zone_path(one.network_id)), "network": one.network_name}
            for one in sandbox.endpoints
            if one.dns_names
        ]
        links = {
            alias: container
            for attachment in request.attachments
            for container, alias in map(names.link_names, attachment.links)
        }
        document = {"zones": zones, "links": links, "upstream": self._upstream(request, sandbox)}
        _replace(self._resolver_path(sandbox.container_id), document)

    def _upstream(self, request: SandboxRequest, sandbox: Sandbox) -> list[dict[str, object]]:
        if not any(one.gateway4 or one.gateway6 for one in sandbox.endpoints):
            # Nothing leaves an internal network, questions neither.
            return []
        # A server that the user names for this container may be reachable from there
        # only; the host's own servers may be on the host's localhost.
        if request.dns:
            # Asking itself would go round in circles.
            return [{"server": server, "inside": True} for server in request.dns if server != RESOLVER_ADDRESS]
        host = self.options.dns or self._host_resolver().servers or names.FALLBACK_SERVERS
        return [{"server": server, "inside": False} for server in host]

    def _wanted(self, request: SandboxRequest, host: Resolver) -> Resolver:
        return names.overridden(
            host,
            servers=request.dns or self.options.dns,
            search=request.dns_search or self.options.dns_search,
            options=request.dns_options or self.options.dns_options,
        )

    def _host_resolver(self) -> Resolver:
        return names.read_resolver(self.host_files.read(_HOST_RESOLVER))

    def _write_zone(self, network_id: str) -> None:
        network = self.registry.get(network_id)
        if network is None:
            return
        holders = [_holder(one) for _, one in self.sandboxes.on_network(network_id)]
        _replace(self._zone_path(network_id), {"network": network.name, "holders": holders})

    @property
    def _zones(self) -> Path:
        return self.directory / "zones"

    @property
    def _resolvers(self) -> Path:
        return self.directory / "resolvers"

    def _zone_path(self, network_id: str) -> Path:
        return self._zones / f"{network_id}.json"

    def _resolver_path(self, container_id: str) -> Path:
        return self._resolvers / f"{container_id}.json"


def _holder(one: Endpoint) -> dict[str, Any]:
    addresses = [address.partition("/")[0] for address in (one.ipv4, one.ipv6) if address]
    return {"names": list(one.dns_names), "addresses": addresses}


def _replace(path: Path, document: Mapping[str, object]) -> None:
    # Nobody may see half of it; and it need not survive a power cut, so it is not synced.
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(document))
    temporary.replace(path)
