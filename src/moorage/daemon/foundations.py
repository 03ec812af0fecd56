"""What everything else stands on: the database, the launcher, the stores, the networks.

Opening these reads what is on disk, and changes nothing that runs but the engine's own cgroup.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moorage.cgroups import systemd, v2
from moorage.cgroups.group import detect
from moorage.cgroups.paths import Hierarchy, Layout, Mode
from moorage.content.layout import write_durably
from moorage.content.store import BlobStore
from moorage.daemon.config import DaemonConfig
from moorage.daemon.remapping import daemon_mapping
from moorage.daemon.runtimes import NATIVE_ALIAS, NATIVE_RUNTIME
from moorage.engine.apparmor.loading import DefaultProfile, apparmor_available
from moorage.engine.bundles.host_facts import HostFacts, SecurityModules, kernel_has_selinux, read_host_facts
from moorage.engine.cgroup_moves import CgroupMoves
from moorage.engine.containers.groups import ContainerGroups
from moorage.engine.containers.locks import ContainerLocks
from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.containers.realtime import RealtimeBudget
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.tasks import Tasks
from moorage.engine.containers.uses import ContainerUses, NetworkedContainers
from moorage.engine.event_journal import EventJournal
from moorage.engine.events import EventBus
from moorage.engine.host import Host, read_host
from moorage.engine.jobs import Jobs
from moorage.engine.launching import Launcher
from moorage.engine.userns.mapping import IdMapping
from moorage.errors import NotSupportedError
from moorage.networks.assembly import Networks
from moorage.networks.models import DEFAULT_POOLS, NetworkOptions
from moorage.snapshots.jobs import FileJobs
from moorage.snapshots.store import SnapshotStore
from moorage.snapshots.workers import LauncherWorkers
from moorage.state.containers import ContainerRows
from moorage.state.database import Database
from moorage.state.migrations import MIGRATIONS
from moorage.state.networks import NetworkRows
from moorage.state.volumes import VolumeRows
from moorage.volumes.service import VolumeService
from moorage.volumes.store import VolumeStore

_INIT_PROGRAMS: Final = ("docker-init", "tini-static", "catatonit", "tini")
_log = logging.getLogger(__name__)


class CgroupDriverError(NotSupportedError):
    """The configuration asks for control groups that this host does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundations:
    """The parts that others share.

    Attributes:
        engine_id: Stays the same as long as the data root does.
        init_path: The program for `--init`, empty if the host has none.
        id_mapping: What `userns-remap` asks for; None without.
    """

    config: DaemonConfig
    engine_id: str
    init_path: str
    paths: ContainerPaths
    database: Database
    launcher: Launcher
    bus: EventBus
    journal: EventJournal
    jobs: Jobs
    locks: ContainerLocks
    registry: ContainerRegistry
    tasks: Tasks
    uses: ContainerUses
    groups: ContainerGroups
    moves: CgroupMoves
    host: Host
    facts: HostFacts
    blobs: BlobStore
    snapshots: SnapshotStore
    files: FileJobs
    volumes: VolumeService
    networks: Networks
    id_mapping: IdMapping | None
    modules: SecurityModules
    profile: DefaultProfile


async def lay_foundations(config: DaemonConfig, *, launcher: Launcher) -> Foundations:
    """Open the stores.

    Raises:
        MoorageError: Something on disk cannot be used.
        OSError: Likewise.
    """
    _make_roots(config)
    id_mapping = await asyncio.to_thread(daemon_mapping, config.userns_remap)
    modules = security_modules(config)
    paths = ContainerPaths(config.data_root, config.exec_root)
    workers = LauncherWorkers(launcher.send)
    database = Database.open(config.data_root / "moorage.db", migrations=MIGRATIONS)
    journal = EventJournal(config.data_root / "events.jsonl")
    bus = EventBus(past=journal.load(), note=journal.note)
    tasks, files = Tasks(), FileJobs(workers)
    jobs, locks = Jobs(), ContainerLocks()
    registry = ContainerRegistry(ContainerRows(database))
    registry.load()
    uses = ContainerUses(registry)
    engine_id = read_engine_id(config.data_root / "engine-id")
    layout = detect()
    return Foundations(
        config=config,
        engine_id=engine_id,
        init_path=config.init_path or find_init(),
        paths=paths,
        database=database,
        launcher=launcher,
        bus=bus,
        journal=journal,
        jobs=jobs,
        locks=locks,
        registry=registry,
        tasks=tasks,
        uses=uses,
        groups=container_groups(config, layout),
        moves=CgroupMoves(layout),
        host=read_host(),
        facts=read_host_facts(
            layout=layout,
            default_runtime=config.default_runtime,
            runtimes=(NATIVE_RUNTIME, NATIVE_ALIAS, *config.runtimes),
            systemd_cgroups=config.cgroup_driver == "systemd",
        ),
        blobs=BlobStore.open(config.data_root / "content"),
        snapshots=await SnapshotStore.open(config.data_root, workers=workers, driver=config.storage_driver),
        files=files,
        volumes=VolumeService(
            store=VolumeStore(config.data_root / "volumes", VolumeRows(database)),
            users=uses,
            trees=files,
            events=bus,
            background=jobs,
        ),
        networks=Networks.assemble(
            store=NetworkRows(database),
            options=network_options(config, engine_id),
            events=bus,
            containers=NetworkedContainers(registry, tasks, locks, paths),
            background=jobs,
            run_root=config.exec_root,
        ),
        id_mapping=id_mapping,
        modules=modules,
        profile=DefaultProfile(available=modules.apparmor),
    )


def security_modules(config: DaemonConfig) -> SecurityModules:
    """Return the security modules that confine containers here."""
    selinux = config.selinux and kernel_has_selinux()
    if config.selinux and not selinux:
        _log.warning("SELinux could not be enabled: the kernel does not have it in force")
    return SecurityModules(apparmor=apparmor_available(), selinux=selinux)


def container_groups(config: DaemonConfig, layout: Layout) -> ContainerGroups:
    """Return where this host keeps the cgroups of containers.

    Raises:
        CgroupDriverError: The host can't do what the configuration asks for.
    """
    unified = layout.unified if layout.mode is Mode.V2 else None
    is_systemd = config.cgroup_driver == "systemd"
    if is_systemd and not (unified and systemd.is_running()):
        raise CgroupDriverError("native.cgroupdriver=systemd needs a host with systemd and cgroup v2 alone")
    if unified and not is_systemd:
        _leave_topmost(unified)
    return ContainerGroups(
        layout=layout, parent=config.cgroup_parent, systemd=is_systemd, realtime=realtime_budget(config, layout)
    )


def _leave_topmost(unified: Hierarchy) -> None:
    """Have limits for containers also where the engine itself runs in one, in the topmost cgroup it can see."""
    try:
        if v2.evacuate(unified):
            _log.info("moved the processes of the topmost cgroup into one of their own, so that containers have limits")
    except OSError as error:
        _log.warning("containers may have no limits: the topmost cgroup cannot be changed: %s", error)


def realtime_budget(config: DaemonConfig, layout: Layout) -> RealtimeBudget | None:
    """Return what the daemon gives the parents of containers for realtime processes.

    Raises:
        CgroupDriverError: The kernel can't; Docker's words.
    """
    if not (config.cpu_rt_period or config.cpu_rt_runtime):
        return None
    cpu = layout.by_controller.get("cpu")
    if layout.mode is Mode.V2:
        raise CgroupDriverError("daemon-scoped cpu-rt-period and cpu-rt-runtime are not implemented for cgroup v2")
    if cpu is None or not Path(cpu.mount_point, "cpu.rt_runtime_us").exists():
        raise CgroupDriverError("daemon-scoped cpu-rt-period and cpu-rt-runtime are not supported by the kernel")
    return RealtimeBudget(mount_point=cpu.mount_point, period=config.cpu_rt_period, runtime=config.cpu_rt_runtime)


def network_options(config: DaemonConfig, engine_id: str) -> NetworkOptions:
    """Return the part of the configuration that is about networks."""
    return NetworkOptions(
        bridge=config.bridge,
        bip=config.bip,
        fixed_cidr=config.fixed_cidr,
        pools=config.address_pools or DEFAULT_POOLS,
        new_networks=config.network_options.get("bridge", {}),
        mtu=config.mtu,
        icc=config.icc,
        masquerade=config.ip_masquerade,
        bind_address=config.publish_address,
        ipv6=config.ipv6,
        ula_seed=engine_id,
        dns=config.dns,
        dns_search=config.dns_search,
        dns_options=config.dns_options,
        host_gateway=config.host_gateways,
        forward_guard=config.forward_guard,
    )


def find_init() -> str:
    """Return a program that can be PID 1 of a container, or nothing."""
    search = os.pathsep.join((os.defpath, "/usr/libexec", "/usr/libexec/podman", "/usr/lib/podman"))
    return next((found for name in _INIT_PROGRAMS if (found := shutil.which(name, path=search))), "")


def read_engine_id(path: Path) -> str:
    """Return the engine's identity, made at the first start."""
    with contextlib.suppress(FileNotFoundError):
        # Earlier versions may have left an empty one after a power cut.
        if engine_id := path.read_text(encoding="ascii").strip():
            return engine_id
    engine_id = str(uuid.uuid4())
    write_durably(path, f"{engine_id}\n".encode())
    return engine_id


def _make_roots(config: DaemonConfig) -> None:
    # Others may pass through to the volumes, and see nothing on the way.
    config.data_root.mkdir(parents=True, exist_ok=True, mode=0o711)
    config.exec_root.mkdir(parents=True, exist_ok=True, mode=0o711)
