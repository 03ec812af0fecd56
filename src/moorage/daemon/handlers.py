"""Give the router the handlers of every noun."""

from dataclasses import dataclass

from moorage.api.containers import ContainerSummary
from moorage.api.filters import Filters
from moorage.api.system import RuntimeInfo
from moorage.api.versions import MAXIMUM
from moorage.api.volumes import Volume, VolumeUsage
from moorage.daemon.config import DaemonConfig
from moorage.daemon.runtimes import NATIVE_ALIAS, NATIVE_RUNTIME
from moorage.daemon.wiring import Wiring
from moorage.engine.bundles.security import BUILTIN
from moorage.engine.containers.archive import ContainerArchive
from moorage.engine.containers.exporting import ContainerChanges, ContainerCommitter, ContainerExporter
from moorage.engine.containers.list_filters import ListRequest
from moorage.engine.containers.pruning import ContainerPruner
from moorage.engine.containers.renaming import ContainerRenamer
from moorage.engine.containers.resizing import ContainerResizer
from moorage.engine.containers.restarting import ContainerRestarter
from moorage.engine.containers.stats import StatsReader
from moorage.engine.containers.top import ContainerProcesses
from moorage.engine.containers.unlinking import LinkRemover
from moorage.engine.containers.updating import ContainerUpdater
from moorage.engine.containers.waiting import ContainerWaiter
from moorage.engine.disk_usage import DiskUsageService
from moorage.engine.event_stream import EventStreamer
from moorage.engine.exec.creating import ExecCreator
from moorage.engine.exec.inspecting import ExecInspector
from moorage.engine.exec.resizing import ExecResizer
from moorage.engine.host import backing_file_system
from moorage.engine.registry_login import RegistryLogin
from moorage.engine.system import DaemonSettings, SecurityFacts, SystemService
from moorage.images.usage import image_usage
from moorage.registry.credentials import Credentials
from moorage.registry.gateway import RegistryGateway
from moorage.server.handlers import cluster, plugins
from moorage.server.handlers.checkpoints import CheckpointHandlers
from moorage.server.handlers.container_files import ContainerFileHandlers
from moorage.server.handlers.container_streams import ContainerStreamHandlers
from moorage.server.handlers.containers import ContainerHandlers
from moorage.server.handlers.exec import ExecHandlers
from moorage.server.handlers.images import ImageHandlers
from moorage.server.handlers.networks import NetworkHandlers
from moorage.server.handlers.store import StoreHandlers
from moorage.server.handlers.system import SystemHandlers
from moorage.server.handlers.volumes import VolumeHandlers
from moorage.server.router import Router


def make_router(wiring: Wiring) -> Router:
    """Return a router with every handler bound."""
    router = Router()
    container_handlers(wiring).bind(router)
    CheckpointHandlers(checkpointer=wiring.containers.checkpointer).bind(router)
    stream_handlers(wiring).bind(router)
    file_handlers(wiring).bind(router)
    exec_handlers(wiring).bind(router)
    system_handlers(wiring).bind(router)
    StoreHandlers(check=wiring.store.check, cleaner=wiring.store.cleaner).bind(router)
    ImageHandlers(services=wiring.images).bind(router)
    networks = wiring.base.networks
    NetworkHandlers(
        creator=networks.creator, lister=networks.lister, remover=networks.remover, connector=networks.connector
    ).bind(router)
    VolumeHandlers(service=wiring.base.volumes).bind(router)
    cluster.bind(router)
    plugins.bind(router)
    return router


def container_handlers(wiring: Wiring) -> ContainerHandlers:
    """Return the handlers of containers' lives."""
    base, lives, views = wiring.base, wiring.containers, wiring.views
    registry, bus = base.registry, base.bus
    return ContainerHandlers(
        creator=lives.creator,
        starter=lives.starter,
        stopper=lives.stopper,
        killer=lives.killer,
        restarter=ContainerRestarter(
            registry=registry,
            stopper=lives.stopper,
            starter=lives.starter,
            events=bus,
            jobs=base.jobs,
            kept=lives.exits.kept,
        ),
        pauser=lives.pauser,
        remover=lives.remover,
        unlinker=LinkRemover(registry=registry, locks=base.locks, paths=base.paths),
        renamer=ContainerRenamer(registry=registry, locks=base.locks, networks=base.networks.service, events=bus),
        updater=ContainerUpdater(registry=registry, locks=base.locks, tasks=base.tasks, events=bus, host=base.facts),
        resizer=ContainerResizer(registry=registry, tasks=base.tasks, events=bus),
        waiter=ContainerWaiter(registry, lives.watch),
        lister=views.lister,
        inspector=views.inspector,
        processes=ContainerProcesses(registry=registry, groups=base.groups, events=bus),
        pruner=ContainerPruner(registry=registry, remover=lives.remover, sizes=views.sizes, events=bus),
    )


def stream_handlers(wiring: Wiring) -> ContainerStreamHandlers:
    """Return the handlers of containers' streams."""
    base = wiring.base
    stats = StatsReader(
        registry=base.registry, groups=base.groups, watch=wiring.containers.watch, memory_total=base.host.memory
    )
    return ContainerStreamHandlers(attacher=wiring.views.attacher, logs=wiring.views.logs, stats=stats)


def file_handlers(wiring: Wiring) -> ContainerFileHandlers:
    """Return the handlers of containers' files."""
    base = wiring.base
    registry, bus, roots = base.registry, base.bus, wiring.views.roots
    return ContainerFileHandlers(
        archive=ContainerArchive(
            registry=registry, roots=roots, jobs=base.files, bundler=wiring.bundles.bundler, events=bus
        ),
        changes=ContainerChanges(registry=registry, roots=roots, jobs=base.files),
        exporter=ContainerExporter(registry=registry, roots=roots, jobs=base.files, events=bus),
        committer=ContainerCommitter(
            registry=registry,
            roots=roots,
            jobs=base.files,
            pauser=wiring.containers.pauser,
            images=wiring.images.catalog,
            committer=wiring.images.committer,
            events=bus,
        ),
    )


def exec_handlers(wiring: Wiring) -> ExecHandlers:
    """Return the handlers of added processes."""
    base = wiring.base
    return ExecHandlers(
        creator=ExecCreator(
            registry=base.registry, table=wiring.execs.table, events=base.bus, expect_move=base.moves.expect
        ),
        starter=wiring.execs.starter,
        resizer=ExecResizer(registry=base.registry, table=wiring.execs.table, tasks=base.tasks),
        inspector=ExecInspector(registry=base.registry, table=wiring.execs.table),
    )


def system_handlers(wiring: Wiring) -> SystemHandlers:
    """Return the handlers of the engine as a whole."""
    base = wiring.base

    async def containers() -> list[ContainerSummary]:
        return await wiring.views.lister.with_sizes(ListRequest(everything=True), version=MAXIMUM)

    async def volumes() -> list[Volume]:
        return await measured_volumes(wiring)

    return SystemHandlers(
        system=system_service(wiring),
        events=EventStreamer(bus=base.bus),
        disk=DiskUsageService(
            layers_size=lambda: image_usage(wiring.images.catalog).layers_size,
            images=lambda: wiring.images.lister.list_images(Filters(), shared_size=True, containers=True),
            containers=containers,
            volumes=volumes,
        ),
        login=RegistryLogin(registry=_Registries(wiring.images.registries)),
        expect_move=base.moves.expect,
    )


def system_service(wiring: Wiring) -> SystemService:
    """Return what answers about the engine itself."""
    base = wiring.base
    return SystemService(
        settings=lambda: daemon_settings(wiring),
        host=base.host,
        facts=base.facts,
        containers=base.registry.counts,
        images=lambda: len(wiring.images.catalog.images()),
        listeners=lambda: base.bus.listeners,
        cdi=wiring.bundles.cdi,
    )


@dataclass(frozen=True, slots=True)
class _Registries:
    """Registries whose client is loaded when the first of them is asked."""

    gateway: RegistryGateway

    async def login(self, domain: str, *, credentials: Credentials) -> str | None:
        return await self.gateway.client().login(domain, credentials=credentials)


async def measured_volumes(wiring: Wiring) -> list[Volume]:
    """Return all volumes with what they hold and who uses them."""
    base = wiring.base
    volumes = base.volumes.matching(Filters())
    return [
        Volume(
            created_at=volume.created_at,
            driver=volume.driver,
            labels=dict(volume.labels) if volume.labels is not None else None,
            mountpoint=volume.mountpoint,
            name=volume.name,
            options=dict(volume.options) if volume.options is not None else None,
            scope="local",
            usage_data=VolumeUsage(
                ref_count=len(base.uses.using_volume(volume.name)),
                size=size,
            ),
        )
        for volume, size in zip(volumes, await base.volumes.sizes(volumes), strict=True)
    ]


def daemon_settings(wiring: Wiring) -> DaemonSettings:
    """Return what /info shows of the configuration."""
    base, config = wiring.base, wiring.live.config
    return DaemonSettings(
        id=base.engine_id,
        data_root=config.data_root,
        storage_driver=base.snapshots.driver_name,
        storage_status=storage_status(wiring),
        default_runtime=config.default_runtime,
        runtimes=shown_runtimes(config),
        init_binary=base.init_path,
        cgroup_driver=config.cgroup_driver,
        labels=config.labels,
        debug=config.debug,
        experimental=config.experimental,
        proxies=config.proxies,
        log_driver=config.log.type,
        minimum=config.minimum_api_version,
        authorization_plugins=tuple(dict.fromkeys(config.authorization_plugins)),
        insecure_registries=config.insecure_registries,
        registry_mirrors=config.registry_mirrors,
        address_pools=config.address_pools,
        security=SecurityFacts(
            seccomp_profile=config.seccomp_profile or BUILTIN,
            apparmor=base.modules.apparmor,
            selinux=base.modules.selinux,
            userns=base.id_mapping is not None,
            no_new_privileges=config.no_new_privileges,
        ),
        exposed=[host.removeprefix("tcp://") for host in config.hosts if host.startswith("tcp://") and not config.tls],
    )


def storage_status(wiring: Wiring) -> list[tuple[str, str]]:
    """Return what the storage driver says of itself, in Docker's words."""
    base = wiring.base
    if base.snapshots.driver_name != "overlay2":
        return []
    return [
        ("Backing Filesystem", backing_file_system(base.config.data_root)),
        # Without the first there would be no overlay; the others are off in every mount that is made here.
        ("Supports d_type", "true"),
        ("Using metacopy", "false"),
        ("Native Overlay Diff", "true"),
        ("userxattr", "false"),
    ]


def shown_runtimes(config: DaemonConfig) -> dict[str, RuntimeInfo]:
    """Return the runtimes that `--runtime` takes."""
    others = {
        name: RuntimeInfo(path=program.path, runtime_args=list(program.arguments))
        for name, program in config.runtimes.items()
    }
    native = RuntimeInfo(path="moor-oci")
    return {NATIVE_RUNTIME: native, NATIVE_ALIAS: native, **others}
