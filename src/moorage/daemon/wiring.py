"""Put the engine together: the one place that knows every service.

Nothing here decides anything. Services get what they need through their constructors;
the knot that cannot be tied in one direction (an exit leads to removals and restarts,
which lead to exits) goes through `ExitHooks`.
"""

from dataclasses import replace
from functools import cached_property
from pathlib import Path

from moorage.daemon.config import ConfigurationError, DaemonConfig
from moorage.daemon.exec_wiring import ExecWiring
from moorage.daemon.foundations import Foundations
from moorage.daemon.live import LiveConfig
from moorage.daemon.registries import registry_settings, signature_settings
from moorage.daemon.remapping import pools, read_accounts
from moorage.daemon.store_wiring import StoreWiring
from moorage.engine.bundles.host_facts import HostFacts
from moorage.engine.cdi import CDIRegistry
from moorage.engine.containers.attaching import ContainerAttacher, PendingAttaches
from moorage.engine.containers.bundling import BundleDefaults, Bundler
from moorage.engine.containers.checkpointing import Checkpointer
from moorage.engine.containers.confinement import Confinement
from moorage.engine.containers.creating import ContainerCreator, CreateDefaults
from moorage.engine.containers.exiting import ContainerExits, ExitHooks
from moorage.engine.containers.files import ContainerRoots
from moorage.engine.containers.healing import ContainerHealer
from moorage.engine.containers.image_mounts import ImageMounts
from moorage.engine.containers.inspecting import ContainerInspector
from moorage.engine.containers.killing import ContainerKiller
from moorage.engine.containers.last_resort import LastResort
from moorage.engine.containers.leftovers import Leftovers
from moorage.engine.containers.list_facts import EngineListFacts
from moorage.engine.containers.listing import ContainerLister
from moorage.engine.containers.locks import ContainerLocks
from moorage.engine.containers.logs import ContainerLogs
from moorage.engine.containers.memory_volumes import MemoryVolumes
from moorage.engine.containers.mounting import MountPreparer
from moorage.engine.containers.pausing import ContainerPauser
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.removing import ContainerRemover
from moorage.engine.containers.sizes import ContainerSizes
from moorage.engine.containers.starting import ContainerStarter
from moorage.engine.containers.stopping import ContainerStopper
from moorage.engine.containers.waiting import ExitWatch
from moorage.engine.device_requests import DeviceRequests
from moorage.engine.health import HealthMonitor
from moorage.engine.host_paths import HostPaths
from moorage.engine.host_shutdown import HostShutdown
from moorage.engine.recovery import Recovery
from moorage.engine.restarting import RestartSupervisor
from moorage.engine.selinux.service import SELinux, read_defaults
from moorage.engine.userns.service import UserNamespaces
from moorage.images.assembly import Images
from moorage.server.authorization.plugins import Authorization
from moorage.state.images import ImageRows


class Wiring:
    """Every service of one daemon: each is a property, made when it is first asked for."""

    def __init__(self, base: Foundations) -> None:
        self.base = base
        self.live = LiveConfig(base.config)
        self.authorization = Authorization(base.config.authorization_plugins)

    @cached_property
    def locks(self) -> ContainerLocks:
        """The lock of each container."""
        return self.base.locks

    @cached_property
    def watch(self) -> ExitWatch:
        """Who waits for which exits."""
        return ExitWatch()

    @cached_property
    def restarts(self) -> RestartSupervisor:
        """The containers that wait for their next start."""
        return RestartSupervisor(self.base.jobs)

    @cached_property
    def pending_attaches(self) -> PendingAttaches:
        """The clients of containers that have not started."""
        return PendingAttaches()

    @cached_property
    def execs(self) -> ExecWiring:
        """Everything about added processes."""
        return ExecWiring(self.base, bundler=lambda: self.bundler)

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
            downloads=config.max_concurrent_downloads,
            uploads=config.max_concurrent_uploads,
        )

    @cached_property
    def store(self) -> StoreWiring:
        """The check of what is stored, and the removal of what is not needed."""
        return StoreWiring(self.base, images=self.images, locks=self.locks, recovery=lambda: self.recovery)

    @cached_property
    def mounts(self) -> MountPreparer:
        """Makes what mounts need."""
        base = self.base
        images = ImageMounts(self.images.catalog, base.snapshots)
        return MountPreparer(
            base.volumes, base.files, self.memory_volumes, images, data_root=str(base.config.data_root)
        )

    @cached_property
    def memory_volumes(self) -> MemoryVolumes:
        """Knows who holds the volumes that live in memory."""
        return MemoryVolumes(registry=self.base.registry, volumes=self.base.volumes)

    @cached_property
    def userns(self) -> UserNamespaces:
        """Decides on user namespaces."""
        base = self.base
        uid_pool, gid_pool = pools(read_accounts())
        foreign = self.live.runtimes
        return UserNamespaces(
            records=base.registry.all,
            why_not=base.snapshots.mapping_obstacle,
            native=lambda name: name not in foreign,
            remap=base.id_mapping,
            uid_pool=uid_pool,
            gid_pool=gid_pool,
        )

    @cached_property
    def host_paths(self) -> HostPaths:
        """Looks at what users name."""
        return HostPaths(self.base.files)

    @cached_property
    def selinux(self) -> SELinux:
        """Gives labels to containers."""
        base = self.base
        return SELinux(
            enabled=base.modules.selinux,
            defaults=read_defaults() if base.modules.selinux else {},
            records=base.registry.all,
            resolve=base.registry.resolve,
        )

    @cached_property
    def sizes(self) -> ContainerSizes:
        """Measures containers."""
        return ContainerSizes(snapshots=self.base.snapshots, files=self.base.files, paths=self.base.paths)

    @cached_property
    def roots(self) -> ContainerRoots:
        """Finds containers' files."""
        return ContainerRoots(snapshots=self.base.snapshots, mounts=self.mounts, paths=self.base.paths)

    @cached_property
    def cdi(self) -> CDIRegistry:
        """Finds the devices that vendors describe."""
        return CDIRegistry(self.base.config.cdi_spec_dirs)

    @cached_property
    def bundler(self) -> Bundler:
        """Makes bundles."""
        base, config = self.base, self.base.config
        return Bundler(
            registry=base.registry,
            networks=base.networks.service,
            snapshots=base.snapshots,
            mounts=self.mounts,
            paths=base.paths,
            groups=base.groups,
            requests=DeviceRequests(self.cdi),
            host=base.facts,
            userns=self.userns,
            defaults=BundleDefaults(
                init_path=base.init_path,
                ulimits=config.ulimits,
                runtimes=self.live.runtimes,
                seccomp_profile=read_seccomp_profile(config),
                no_new_privileges=config.no_new_privileges,
                apparmor=base.modules.apparmor,
            ),
        )

    @cached_property
    def exits(self) -> ContainerExits:
        """Records exits."""
        base = self.base
        return ContainerExits(
            registry=base.registry,
            locks=self.locks,
            tasks=base.tasks,
            networks=base.networks.service,
            paths=base.paths,
            events=base.bus,
            watch=self.watch,
            jobs=base.jobs,
            restarts=self.restarts,
            hooks=lambda: self.exit_hooks,
        )

    @cached_property
    def exit_hooks(self) -> ExitHooks:
        """What an exit leads to."""
        return ExitHooks(
            restart=self.starter.restart,
            auto_remove=self.remover.remove_exited,
            stopped=self._end_companions,
            exec_exited=self.execs.exits.record,
            execs_under_way=self.execs.table.running,
            execs_lost=self.execs.recovery.compare,
            clear_leftovers=self.base.groups.clear,
            clear_soon=self.leftovers.clear,
        )

    async def _end_stranger(self, container_id: str) -> None:
        # Recovery needs the remover, which needs this.
        await self.recovery.end_stranger(container_id)

    def _watch_health(self, record: ContainerRecord) -> None:
        # The monitor needs the killer, which needs this.
        self.health.start(record)

    def _end_companions(self, container_id: str) -> None:
        self.health.stop(container_id)
        self.execs.table.end_all(container_id)

    @cached_property
    def creator(self) -> ContainerCreator:
        """Creates containers."""
        base = self.base
        return ContainerCreator(
            registry=base.registry,
            images=self.images.catalog,
            pins=self.images.pins,
            networks=base.networks.service,
            snapshots=base.snapshots,
            mounts=self.mounts,
            files=base.files,
            host_paths=self.host_paths,
            events=base.bus,
            jobs=base.jobs,
            host=self.facts,
            userns=self.userns,
            selinux=self.selinux,
            modules=base.modules,
            expect_move=base.moves.expect,
            defaults=self._create_defaults,
        )

    def facts(self) -> HostFacts:
        """Return what the host can do, with the runtimes that are configured now."""
        live = self.live
        return replace(self.base.facts, default_runtime=live.config.default_runtime, runtimes=live.runtime_names())

    def _create_defaults(self) -> CreateDefaults:
        config = self.live.config
        return CreateDefaults(
            log=config.log,
            init=config.init,
            ipc_mode=config.default_ipc_mode,
            cgroupns_mode=config.default_cgroupns_mode,
            shm_size=config.default_shm_size,
        )

    @cached_property
    def starter(self) -> ContainerStarter:
        """Starts containers."""
        base = self.base
        return ContainerStarter(
            registry=base.registry,
            checkpoints=self.checkpointer,
            expect_move=base.moves.expect,
            locks=self.locks,
            tasks=base.tasks,
            observer=self.exits,
            attaches=self.pending_attaches,
            networks=base.networks.service,
            bundler=self.bundler,
            memory_volumes=self.memory_volumes,
            confinement=Confinement(profile=base.profile, files=base.files),
            paths=base.paths,
            host_paths=self.host_paths,
            leftovers=self.leftovers,
            launcher=base.launcher,
            events=base.bus,
            jobs=base.jobs,
            restarts=self.restarts,
            on_started=self.health.start,
            auto_remove=self.remover.auto_remove,
        )

    @cached_property
    def killer(self) -> ContainerKiller:
        """Kills containers."""
        base = self.base
        return ContainerKiller(
            registry=base.registry,
            locks=self.locks,
            tasks=base.tasks,
            events=base.bus,
            watch=self.watch,
            restarts=self.restarts,
            last_resort=self.last_resort,
            on_resumed=self._watch_health,
        )

    @cached_property
    def healer(self) -> ContainerHealer:
        """Restarts unhealthy containers."""
        base = self.base
        return ContainerHealer(
            killer=self.killer, watch=self.watch, jobs=base.jobs, default_grace=base.config.default_stop_timeout
        )

    @cached_property
    def leftovers(self) -> Leftovers:
        """Clears away what does not die at once."""
        base = self.base
        notes = base.config.exec_root / "leftovers"
        return Leftovers(groups=base.groups, locks=self.locks, tasks=base.tasks, jobs=base.jobs, notes=notes)

    @cached_property
    def last_resort(self) -> LastResort:
        """Ends what does not end by request."""
        base = self.base
        abort_root = base.files.abort_root if base.snapshots.served else None
        return LastResort(groups=base.groups, paths=base.paths, abort_root=abort_root)

    @cached_property
    def stopper(self) -> ContainerStopper:
        """Stops containers."""
        base = self.base
        return ContainerStopper(
            registry=base.registry,
            killer=self.killer,
            events=base.bus,
            watch=self.watch,
            jobs=base.jobs,
            default_grace=lambda: self.live.config.default_stop_timeout,
        )

    @cached_property
    def host_shutdown(self) -> HostShutdown:
        """What the end of the host means for containers."""
        return HostShutdown(registry=self.base.registry, stopper=self.stopper, restarts=self.restarts)

    @cached_property
    def checkpointer(self) -> Checkpointer:
        """Makes checkpoints of containers."""
        base = self.base
        return Checkpointer(
            registry=base.registry,
            locks=self.locks,
            tasks=base.tasks,
            watch=self.watch,
            paths=base.paths,
            events=base.bus,
            enabled=base.config.experimental,
        )

    @cached_property
    def pauser(self) -> ContainerPauser:
        """Pauses containers."""
        base = self.base
        return ContainerPauser(
            registry=base.registry,
            locks=self.locks,
            tasks=base.tasks,
            events=base.bus,
            jobs=base.jobs,
            on_paused=self.health.stop,
            on_resumed=self.health.start,
        )

    @cached_property
    def remover(self) -> ContainerRemover:
        """Removes containers."""
        base = self.base
        return ContainerRemover(
            registry=base.registry,
            locks=self.locks,
            killer=self.killer,
            attaches=self.pending_attaches,
            snapshots=base.snapshots,
            mounts=self.mounts,
            paths=base.paths,
            events=base.bus,
            watch=self.watch,
            jobs=base.jobs,
            forget=self.execs.table.forget_all,
            end_stranger=self._end_stranger,
        )

    @cached_property
    def lister(self) -> ContainerLister:
        """Lists containers."""
        base = self.base
        facts = EngineListFacts(images=self.images.catalog, networks=base.networks.service)
        return ContainerLister(
            registry=base.registry,
            images=self.images.catalog,
            networks=base.networks.service,
            sizes=self.sizes,
            facts=facts,
        )

    @cached_property
    def inspector(self) -> ContainerInspector:
        """Shows containers."""
        base = self.base
        return ContainerInspector(
            registry=base.registry,
            networks=base.networks.service,
            snapshots=base.snapshots,
            sizes=self.sizes,
            execs=self.execs.table,
            paths=base.paths,
            driver=base.snapshots.driver_name,
            apparmor=base.modules.apparmor,
        )

    @cached_property
    def logs(self) -> ContainerLogs:
        """Reads logs."""
        return ContainerLogs(registry=self.base.registry, paths=self.base.paths, watch=self.watch)

    @cached_property
    def attacher(self) -> ContainerAttacher:
        """Attaches clients."""
        base = self.base
        return ContainerAttacher(
            registry=base.registry,
            tasks=base.tasks,
            pending=self.pending_attaches,
            events=base.bus,
            past_output=self.logs.past,
        )

    @cached_property
    def health(self) -> HealthMonitor:
        """Runs health checks."""
        base = self.base
        return HealthMonitor(
            registry=base.registry,
            prober=self.execs.prober,
            events=base.bus,
            jobs=base.jobs,
            on_ailing=self.healer.heal,
        )

    @cached_property
    def recovery(self) -> Recovery:
        """Brings everything into step at the start."""
        base = self.base
        return Recovery(
            registry=base.registry,
            tasks=base.tasks,
            exits=self.exits,
            remover=self.remover,
            starter=self.starter,
            snapshots=base.snapshots,
            groups=base.groups,
            leftovers=self.leftovers,
            last_resort=self.last_resort,
            paths=base.paths,
            jobs=base.jobs,
            restarts=self.restarts,
            on_live=self.health.start,
            adopt_execs=self.execs.recovery.adopt,
            thaw=self.pauser.unpause,
        )


def read_seccomp_profile(config: DaemonConfig) -> str:
    """Return the daemon's own seccomp profile: text, a word for a built-in one, or nothing.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    profile = config.seccomp_profile
    if profile in {"", "builtin", "unconfined"}:
        return profile
    try:
        return Path(profile).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"opening seccomp profile ({profile}) failed: {error.strerror}") from None
