"""Put together what shows containers and reads their files, logs and streams."""

from functools import cached_property

from moorage.daemon.bundle_wiring import BundleWiring
from moorage.daemon.container_wiring import ContainerWiring
from moorage.daemon.exec_wiring import ExecWiring
from moorage.daemon.foundations import Foundations
from moorage.engine.containers.attaching import ContainerAttacher
from moorage.engine.containers.files import ContainerRoots
from moorage.engine.containers.inspecting import ContainerInspector
from moorage.engine.containers.list_facts import EngineListFacts
from moorage.engine.containers.listing import ContainerLister
from moorage.engine.containers.logs import ContainerLogs
from moorage.engine.containers.sizes import ContainerSizes
from moorage.images.assembly import Images


class ContainerViews:
    """The services that change no container's life; as in `Wiring`, each is made when it is first asked for."""

    def __init__(
        self,
        base: Foundations,
        *,
        images: Images,
        bundles: BundleWiring,
        execs: ExecWiring,
        containers: ContainerWiring,
    ) -> None:
        self._base = base
        self._images = images
        self._bundles = bundles
        self._execs = execs
        self._containers = containers

    @cached_property
    def sizes(self) -> ContainerSizes:
        """Measures containers."""
        return ContainerSizes(snapshots=self._base.snapshots, files=self._base.files, paths=self._base.paths)

    @cached_property
    def roots(self) -> ContainerRoots:
        """Finds containers' files."""
        base = self._base
        return ContainerRoots(
            snapshots=base.snapshots, mounts=self._bundles.mounts, paths=base.paths, registry=base.registry
        )

    @cached_property
    def lister(self) -> ContainerLister:
        """Lists containers."""
        base = self._base
        facts = EngineListFacts(images=self._images.catalog, networks=base.networks.service)
        return ContainerLister(
            registry=base.registry,
            images=self._images.catalog,
            networks=base.networks.service,
            sizes=self.sizes,
            facts=facts,
        )

    @cached_property
    def inspector(self) -> ContainerInspector:
        """Shows containers."""
        base = self._base
        return ContainerInspector(
            registry=base.registry,
            networks=base.networks.service,
            snapshots=base.snapshots,
            sizes=self.sizes,
            execs=self._execs.table,
            paths=base.paths,
            driver=base.snapshots.driver_name,
            apparmor=base.modules.apparmor,
        )

    @cached_property
    def logs(self) -> ContainerLogs:
        """Reads logs."""
        return ContainerLogs(registry=self._base.registry, paths=self._base.paths, watch=self._containers.watch)

    @cached_property
    def attacher(self) -> ContainerAttacher:
        """Attaches clients."""
        base = self._base
        return ContainerAttacher(
            registry=base.registry,
            tasks=base.tasks,
            pending=self._containers.pending_attaches,
            events=base.bus,
            past_output=self.logs.past,
        )
