"""Put together what containers live by: a service per verb, the supervisors, the recovery.

The knot that cannot be tied in one direction (an exit leads to removals and restarts, which
lead to exits) goes through `ExitHooks`.
"""

from functools import cached_property

from moorage.daemon.bundle_wiring import BundleWiring
from moorage.daemon.exec_wiring import ExecWiring
from moorage.daemon.foundations import Foundations
from moorage.daemon.live import LiveConfig
from moorage.engine.containers.attaching import PendingAttaches
from moorage.engine.containers.checkpointing import Checkpointer
from moorage.engine.containers.confinement import Confinement
from moorage.engine.containers.creating import ContainerCreator, CreateDefaults
from moorage.engine.containers.exiting import ContainerExits, ExitHooks
from moorage.engine.containers.healing import ContainerHealer
from moorage.engine.containers.killing import ContainerKiller
from moorage.engine.containers.last_resort import LastResort
from moorage.engine.containers.leftovers import Leftovers
from moorage.engine.containers.pausing import ContainerPauser
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.removing import ContainerRemover
from moorage.engine.containers.starting import ContainerStarter
from moorage.engine.containers.stopping import ContainerStopper
from moorage.engine.containers.waiting import ExitWatch
from moorage.engine.health import HealthMonitor
from moorage.engine.recovery import Recovery
from moorage.engine.restarting import RestartSupervisor
from moorage.images.assembly import Images


class ContainerWiring:
    """The services of containers' lives; as in `Wiring`, each is made when it is first asked for."""

    def __init__(
        self, base: Foundations, *, live: LiveConfig, images: Images, bundles: BundleWiring, execs: ExecWiring
    ) -> None:
        self._base = base
        self._live = live
        self._images = images
        self._bundles = bundles
        self._execs = execs

    @cached_property
    def watch(self) -> ExitWatch:
        """Who waits for which exits."""
        return ExitWatch()

    @cached_property
    def restarts(self) -> RestartSupervisor:
        """The containers that wait for their next start."""
        return RestartSupervisor(self._base.jobs)

    @cached_property
    def pending_attaches(self) -> PendingAttaches:
        """The clients of containers that have not started."""
        return PendingAttaches()

    @cached_property
    def creator(self) -> ContainerCreator:
        """Creates containers."""
        base = self._base
        return ContainerCreator(
            registry=base.registry,
            images=self._images.catalog,
            pins=self._images.pins,
            networks=base.networks.service,
            snapshots=base.snapshots,
            mounts=self._bundles.mounts,
            paths=base.paths,
            files=base.files,
            host_paths=self._bundles.host_paths,
            events=base.bus,
            jobs=base.jobs,
            host=self._bundles.facts,
            userns=self._bundles.userns,
            selinux=self._bundles.selinux,
            modules=base.modules,
            expect_move=base.moves.expect,
            defaults=self._create_defaults,
        )

    def _create_defaults(self) -> CreateDefaults:
        config = self._live.config
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
        base = self._base
        return ContainerStarter(
            registry=base.registry,
            checkpoints=self.checkpointer,
            expect_move=base.moves.expect,
            locks=base.locks,
            tasks=base.tasks,
            observer=self.exits,
            attaches=self.pending_attaches,
            networks=base.networks.service,
            bundler=self._bundles.bundler,
            memory_volumes=self._bundles.memory_volumes,
            confinement=Confinement(profile=base.profile, files=base.files),
            paths=base.paths,
            host_paths=self._bundles.host_paths,
            leftovers=self.leftovers,
            launcher=base.launcher,
            events=base.bus,
            jobs=base.jobs,
            restarts=self.restarts,
            on_started=self.health.start,
            auto_remove=self.remover.auto_remove,
        )

    @cached_property
    def exits(self) -> ContainerExits:
        """Records exits."""
        base = self._base
        return ContainerExits(
            registry=base.registry,
            locks=base.locks,
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
            exec_exited=self._execs.exits.record,
            execs_under_way=self._execs.table.running,
            execs_lost=self._execs.recovery.compare,
            clear_leftovers=self._base.groups.clear,
            clear_soon=self.leftovers.clear,
        )

    def _end_companions(self, container_id: str) -> None:
        self.health.stop(container_id)
        self._execs.table.end_all(container_id)

    @cached_property
    def killer(self) -> ContainerKiller:
        """Kills containers."""
        base = self._base
        return ContainerKiller(
            registry=base.registry,
            locks=base.locks,
            tasks=base.tasks,
            events=base.bus,
            watch=self.watch,
            restarts=self.restarts,
            last_resort=self.last_resort,
            on_resumed=self._watch_health,
        )

    def _watch_health(self, record: ContainerRecord) -> None:
        # The monitor needs the killer, which needs this.
        self.health.start(record)

    @cached_property
    def last_resort(self) -> LastResort:
        """Ends what does not end by request."""
        base = self._base
        abort_root = base.files.abort_root if base.snapshots.served else None
        return LastResort(groups=base.groups, paths=base.paths, abort_root=abort_root)

    @cached_property
    def leftovers(self) -> Leftovers:
        """Clears away what does not die at once."""
        base = self._base
        notes = base.config.exec_root / "leftovers"
        return Leftovers(groups=base.groups, locks=base.locks, tasks=base.tasks, jobs=base.jobs, notes=notes)

    @cached_property
    def stopper(self) -> ContainerStopper:
        """Stops containers."""
        base = self._base
        return ContainerStopper(
            registry=base.registry,
            killer=self.killer,
            events=base.bus,
            watch=self.watch,
            jobs=base.jobs,
            default_grace=lambda: self._live.config.default_stop_timeout,
        )

    @cached_property
    def pauser(self) -> ContainerPauser:
        """Pauses containers."""
        base = self._base
        return ContainerPauser(
            registry=base.registry,
            locks=base.locks,
            tasks=base.tasks,
            events=base.bus,
            jobs=base.jobs,
            on_paused=self.health.stop,
            on_resumed=self.health.start,
        )

    @cached_property
    def checkpointer(self) -> Checkpointer:
        """Makes checkpoints of containers."""
        base = self._base
        return Checkpointer(
            registry=base.registry,
            locks=base.locks,
            tasks=base.tasks,
            watch=self.watch,
            paths=base.paths,
            events=base.bus,
            enabled=base.config.experimental,
        )

    @cached_property
    def remover(self) -> ContainerRemover:
        """Removes containers."""
        base = self._base
        return ContainerRemover(
            registry=base.registry,
            locks=base.locks,
            killer=self.killer,
            attaches=self.pending_attaches,
            snapshots=base.snapshots,
            mounts=self._bundles.mounts,
            paths=base.paths,
            events=base.bus,
            watch=self.watch,
            jobs=base.jobs,
            forget=self._execs.table.forget_all,
            end_stranger=self._end_stranger,
        )

    async def _end_stranger(self, container_id: str) -> None:
        # Recovery needs the remover, which needs this.
        await self.recovery.end_stranger(container_id)

    @cached_property
    def health(self) -> HealthMonitor:
        """Runs health checks."""
        base = self._base
        return HealthMonitor(
            registry=base.registry,
            prober=self._execs.prober,
            events=base.bus,
            jobs=base.jobs,
            on_ailing=self.healer.heal,
        )

    @cached_property
    def healer(self) -> ContainerHealer:
        """Restarts unhealthy containers."""
        base = self._base
        return ContainerHealer(
            killer=self.killer, watch=self.watch, jobs=base.jobs, default_grace=base.config.default_stop_timeout
        )

    @cached_property
    def recovery(self) -> Recovery:
        """Brings everything into step at the start."""
        base = self._base
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
            adopt_execs=self._execs.recovery.adopt,
            thaw=self.pauser.unpause,
        )
