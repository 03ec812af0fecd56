"""Put the parts of this package together, for the daemon and for tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from moorage.background import Background
from moorage.networks import firewall
from moorage.networks.connecting import NetworkConnector
from moorage.networks.creating import NetworkCreator
from moorage.networks.firewall_table import FirewallTable
from moorage.networks.flows import Flows
from moorage.networks.host_files import HostFiles
from moorage.networks.listing import NetworkLister
from moorage.networks.models import NetworkOptions
from moorage.networks.portmap import PortMap
from moorage.networks.ports import Containers, EventPublisher
from moorage.networks.registry import NetworkRegistry, NetworkStore
from moorage.networks.removing import NetworkRemover
from moorage.networks.resolution import Resolution
from moorage.networks.sandboxes import Sandboxes
from moorage.networks.service import NetworkService


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The services of this package; `service` is the engine's, the others the handlers'."""

    service: NetworkService
    creator: NetworkCreator
    lister: NetworkLister
    remover: NetworkRemover
    connector: NetworkConnector
    firewall: FirewallTable
    flows: Flows

    @classmethod
    def assemble(
        cls,
        *,
        store: NetworkStore,
        options: NetworkOptions,
        events: EventPublisher,
        containers: Containers,
        background: Background,
        run_root: Path,
    ) -> Self:
        """Return services that share their state; `service.restore()` comes next.

        Args:
            run_root: Where files are that describe what runs; "/run/moorage".
        """
        registry = NetworkRegistry(store, options)
        table = FirewallTable(firewall.table_of(options.bridge))
        flows = Flows()
        sandboxes = Sandboxes(registry, table, PortMap(), flows)
        host_files = HostFiles()
        resolution = Resolution(
            options=options,
            registry=registry,
            sandboxes=sandboxes,
            directory=run_root / "networks",
            host_files=host_files,
        )
        return cls(
            service=NetworkService(
                options=options,
                registry=registry,
                sandboxes=sandboxes,
                resolution=resolution,
                events=events,
                run_root=run_root,
                host_files=host_files,
            ),
            creator=NetworkCreator(
                options=options, registry=registry, firewall=table, events=events, background=background
            ),
            lister=NetworkLister(registry=registry, sandboxes=sandboxes),
            remover=NetworkRemover(
                registry=registry,
                sandboxes=sandboxes,
                resolution=resolution,
                firewall=table,
                events=events,
                background=background,
            ),
            connector=NetworkConnector(
                registry=registry,
                sandboxes=sandboxes,
                resolution=resolution,
                firewall=table,
                containers=containers,
                events=events,
                background=background,
            ),
            firewall=table,
            flows=flows,
        )

    def close(self) -> None:
        """Let go of sockets and threads; everything on the host stays."""
        self.flows.close()
        self.firewall.close()
