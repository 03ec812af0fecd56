"""Put the engine together: the one place that knows every service.

Nothing here decides anything. Services get what they need through their constructors.
"""

from functools import cached_property

from moorage.daemon.bundle_wiring import BundleWiring
from moorage.daemon.container_views import ContainerViews
from moorage.daemon.container_wiring import ContainerWiring
from moorage.daemon.exec_wiring import ExecWiring
from moorage.daemon.foundations import Foundations
from moorage.daemon.live import LiveConfig
from moorage.daemon.registries import registry_settings, signature_settings
from moorage.daemon.store_wiring import StoreWiring
from moorage.engine.host_shutdown import HostShutdown
from moorage.images.assembly import Images
from moorage.server.authorization.plugins import Authorization
from moorage.state.images import ImageRows


class Wiring:
    """Every service of one daemon, by what it is about: each is made when it is first asked for."""

    def __init__(self, base: Foundations) -> None:
        self.base = base
        self.live = LiveConfig(base.config)
        self.authorization = Authorization(base.config.authorization_plugins)

    @cached_property
    def images(self) -> Images:
        """Everything about images."""
        base, config = self.base, self.base.config
        return Images.assemble(
            table=ImageRows(base.database),
            blobs=base.blobs,
            snapshots=base.snapshots,
            users=base.uses,
            events=base.bus,
            registries=registry_settings(config),
            signatures=signature_settings(config),
            background=base.jobs,
            downloads=config.max_concurrent_downloads,
            uploads=config.max_concurrent_uploads,
        )

    @cached_property
    def bundles(self) -> BundleWiring:
        """Everything about what a container is made from."""
        return BundleWiring(self.base, live=self.live, images=self.images)

    @cached_property
    def execs(self) -> ExecWiring:
        """Everything about added processes."""
        return ExecWiring(self.base, bundler=self.bundles.bundler)

    @cached_property
    def containers(self) -> ContainerWiring:
        """Everything about the lives of containers."""
        return ContainerWiring(self.base, live=self.live, images=self.images, bundles=self.bundles, execs=self.execs)

    @cached_property
    def views(self) -> ContainerViews:
        """Everything that shows containers."""
        return ContainerViews(
            self.base, images=self.images, bundles=self.bundles, execs=self.execs, containers=self.containers
        )

    @cached_property
    def store(self) -> StoreWiring:
        """The check of what is stored, and the removal of what is not needed."""
        return StoreWiring(self.base, images=self.images, recovery=self.containers.recovery)

    @cached_property
    def host_shutdown(self) -> HostShutdown:
        """What the end of the host means for containers."""
        containers = self.containers
        return HostShutdown(registry=self.base.registry, stopper=containers.stopper, restarts=containers.restarts)
