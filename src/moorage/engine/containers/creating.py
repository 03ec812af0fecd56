"""Create a container: check the request, take a name, make its files, record it.

Directories come before the row, so a crash leaves at most a directory without a row,
which the next start of the daemon sweeps away, with the volumes noted in it; a container
that was announced is whole.
"""

import asyncio
import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from moorage import faults
from moorage.api.containers import NOT_SENT, ContainerConfig, ContainerCreateRequest, config_of
from moorage.api.host_config import HostConfig, LogConfig
from moorage.api.networks import NetworkingConfig
from moorage.engine.bundles.host_facts import HostFacts, SecurityModules
from moorage.engine.bundles.layered import is_layered_directory
from moorage.engine.bundles.merging import canonical_config, merge_image_config
from moorage.engine.bundles.modes import joined_container
from moorage.engine.bundles.mounts import plan_mounts
from moorage.engine.bundles.security import module_warnings
from moorage.engine.bundles.validation import check_create, check_later
from moorage.engine.containers import unmade_volumes
from moorage.engine.containers.errors import ContainerNotFoundError, RequestRefusedError
from moorage.engine.containers.links import bound_links
from moorage.engine.containers.mounting import MountPreparer, has_anonymous_volumes, inherited_mounts
from moorage.engine.containers.naming import candidate_names, check_name, new_id
from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.containers.ports import EventPublisher, FileJobs, Images, Networks, SnapshotPins, Snapshots
from moorage.engine.containers.records import ContainerDefinition, ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.sandboxes import attachments_for, sandbox_request
from moorage.engine.host_paths import HostPaths
from moorage.engine.jobs import Jobs
from moorage.engine.selinux.service import SELinux
from moorage.engine.userns.service import UserNamespaces
from moorage.images.records import Image
from moorage.logs.options import validate_log_options
from moorage.networks.errors import NetworkNotFoundError
from moorage.oci.digest import ChainID, Digest
from moorage.oci.platform import host_platform, parse_platform
from moorage.snapshots.rootfs import Rootfs
from moorage.state.containers import NameTakenError


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A new container's ID, and what the host could not give it."""

    id: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateDefaults:
    """What the daemon's configuration says about containers that say nothing.

    Attributes:
        ipc_mode: "private" or "shareable".
    """

    log: LogConfig = field(default_factory=lambda: LogConfig(type="json-file", config={}))
    init: bool = False
    ipc_mode: str = "private"
    cgroupns_mode: str = ""
    shm_size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerCreator:
    """Creates containers."""

    registry: ContainerRegistry
    images: Images
    pins: SnapshotPins
    networks: Networks
    snapshots: Snapshots
    mounts: MountPreparer
    paths: ContainerPaths
    files: FileJobs
    host_paths: HostPaths
    events: EventPublisher
    jobs: Jobs
    host: Callable[[], HostFacts]
    userns: UserNamespaces
    selinux: SELinux
    modules: SecurityModules
    expect_move: Callable[[], None]
    defaults: Callable[[], CreateDefaults]

    async def create(
        self,
        request: ContainerCreateRequest,
        *,
        name: str = "",
        platform: str = "",
        recursive_read_only: bool = True,
    ) -> Created:
        """Create a container and return its ID; a client that leaves does not undo it.

        Args:
            name: Empty for a random one.
            platform: `os[/arch[/variant]]`; empty takes the image as it is.
            recursive_read_only: Of binds, as `plan_mounts` says.

        Raises:
            InvalidParameterError: The request can never work; Docker's words.
            ImageNotFoundError: There is no such image, or not for this platform.
            NameTakenError: Another container has the name.

        Spec: Engine API, POST /containers/create.
        """
        asked = canonical_config(config_of(request))
        if request.image == NOT_SENT and asked == ContainerConfig():
            raise RequestRefusedError("config cannot be empty in order to create a container")
        wanted = parse_platform(platform) if platform else None
        limited, more = check_create(asked, self._with_defaults(request), host=self.host(), log=self.defaults().log)
        # Without an image it begins with nothing but what is mounted.
        image = self.images.resolve(asked.image, platform=wanted) if asked.image else None
        # A start mostly follows at once.
        self.expect_move()
        with self.pins.hold(image.chain_ids if image else (), manifest=image.manifest if image else None):
            record, later = await self._plan(
                asked, limited, image, request.networking_config, recursive_read_only=recursive_read_only
            )
            with self.pins.hold(_mounted_chains(record)):
                # Its row cannot be called back once it is on its way: then its files must stay too.
                await asyncio.shield(self.jobs.start(self._make(record, name)))
        warnings = [] if wanted or image is None else _platform_warnings(image)
        return Created(id=record.id, warnings=(*warnings, *more, *later))

    async def _plan(
        self,
        asked: ContainerConfig,
        limited: HostConfig,
        image: Image | None,
        networking: NetworkingConfig | None,
        *,
        recursive_read_only: bool,
    ) -> tuple[ContainerRecord, Sequence[str]]:
        """Return the record of a container that can be made now, still without a name, and warnings about it."""
        container_id = new_id()
        config = merge_image_config(asked, image.config.config if image else None)
        check_later(config, limited)
        await self.userns.check(limited)
        warnings = module_warnings(limited, apparmor=self.modules.apparmor, selinux=self.modules.selinux)
        log = limited.log_config
        validate_log_options(log.type, log.config or {})
        with _parameters_of_the_request():
            host_config = bound_links(self._resolve_modes(limited), self._link_target)
            mounts = plan_mounts(
                config,
                host_config,
                inherited=inherited_mounts(host_config.volumes_from or (), self.registry.resolve),
                data_root=self.mounts.data_root,
                recursive_read_only=recursive_read_only,
            )
            labels = self.selinux.labels(host_config)
        await self.host_paths.check_sources(mounts)
        # Whoever gets the record holds their layers at once: nothing is waited for in between.
        mounts = self.mounts.images.with_images(mounts, mapped=self.userns.is_private(limited))
        record = ContainerRecord(
            id=container_id,
            name="",
            definition=ContainerDefinition(
                created_ns=time.time_ns(),
                image=asked.image,
                image_id=image.id if image else "",
                manifest=image.manifest if image else "",
                chain_ids=tuple(image.chain_ids) if image else (),
                config=_with_hostname(config, host_config, container_id),
                host_config=host_config,
                attachments=self.networks.by_name(attachments_for(config, host_config, networking)),
                mounts=mounts,
                labels=labels,
            ),
        )
        if joined_container(host_config.network_mode) is None:
            # A network may be made between creation and start; a 404 here would also send
            # the command line to a registry, for it means a missing image.
            with contextlib.suppress(NetworkNotFoundError):
                self.networks.validate(sandbox_request(record))
        return record, warnings

    def _with_defaults(self, request: ContainerCreateRequest) -> HostConfig:
        defaults = self.defaults()
        host_config = request.host_config or HostConfig()
        return msgspec.structs.replace(
            host_config,
            ipc_mode=host_config.ipc_mode or defaults.ipc_mode,
            cgroupns_mode=host_config.cgroupns_mode or self._cgroupns_mode(host_config),
            shm_size=host_config.shm_size or defaults.shm_size,
            runtime=host_config.runtime or request.runtime,
            init=defaults.init or None if host_config.init is None else host_config.init,
        )

    def _cgroupns_mode(self, host_config: HostConfig) -> str:
        """Return the daemon's default; a privileged container on cgroup v1 sees the host's all the same."""
        if host_config.privileged and self.host().cgroup_version == 1:
            return "host"
        return self.defaults().cgroupns_mode

    def _resolve_modes(self, host_config: HostConfig) -> HostConfig:
        """Write `container:NAME` as `container:ID`, so that a rename does not lead elsewhere."""
        modes = {field: getattr(host_config, field) for field in ("network_mode", "ipc_mode", "pid_mode")}
        resolved = {
            field: f"container:{self.registry.resolve(reference).id}"
            for field, mode in modes.items()
            if (reference := joined_container(mode)) is not None
        }
        return msgspec.structs.replace(host_config, **resolved) if resolved else host_config

    def _link_target(self, container: str) -> ContainerRecord:
        try:
            return self.registry.resolve(container)
        except ContainerNotFoundError as error:
            raise RequestRefusedError(f"could not get container for {container}: {error}") from error

    async def _make(self, record: ContainerRecord, name: str) -> None:
        chains = [*map(ChainID, record.definition.chain_ids), *_mounted_chains(record)]
        manifest = Digest(record.definition.manifest) if record.definition.manifest else None
        with self.pins.hold(chains, manifest=manifest), self.userns.reserve(record.host_config) as mapping:
            if mapping is not None:
                record = dataclasses.replace(
                    record, definition=dataclasses.replace(record.definition, id_mapping=mapping)
                )
            record = await self._make_files(self._named(record, name))
        self.events.publish("container", "create", record.id, record.event_attributes())

    async def _make_files(self, record: ContainerRecord) -> ContainerRecord:
        top = ChainID(record.definition.chain_ids[-1]) if record.definition.chain_ids else None
        async with contextlib.AsyncExitStack() as undo:
            undo.callback(self.registry.release_name, record.name, record.id)
            faults.point("create:named")
            rootfs = await self.snapshots.prepare_container(record.id, top)
            undo.push_async_callback(self.snapshots.remove_container, record.id)
            faults.point("create:files-made")
            await self._make_working_directory(record.config.working_dir, rootfs)
            if record.definition.mounts:
                directory = self.paths.directory(record.id)
                mounts = await self.mounts.prepare(record.definition.mounts, rootfs=rootfs, directory=directory)
                undo.push_async_callback(self.mounts.discard, mounts)
                definition = dataclasses.replace(record.definition, mounts=mounts)
                record = dataclasses.replace(record, definition=definition)
                faults.point("create:volumes-made")
            await self.registry.add(record)
            faults.point("create:recorded")
            undo.pop_all()
        if has_anonymous_volumes(record.definition.mounts):
            unmade_volumes.forget(self.paths.directory(record.id))
        return record

    async def _make_working_directory(self, path: str, rootfs: Rootfs) -> None:
        """Make it now, because files may be copied there before the start; most images have it."""
        layers = [Path(layer) for layer in rootfs.image_request()["lower"]]
        if path and not is_layered_directory(layers, path, marked=self.snapshots.marked):
            await self.files.make_directory(rootfs, path)

    def _named(self, record: ContainerRecord, name: str) -> ContainerRecord:
        if name:
            chosen = check_name(name)
            self.registry.reserve_name(chosen, record.id)
        else:
            chosen = self._reserve_random(record.id)
        return dataclasses.replace(record, name=chosen)

    def _reserve_random(self, container_id: str) -> str:
        for candidate in candidate_names(container_id):
            with contextlib.suppress(NameTakenError):
                self.registry.reserve_name(candidate, container_id)
                return candidate
        raise RequestRefusedError(f"no free name for container {container_id}")


@contextlib.contextmanager
def _parameters_of_the_request() -> Iterator[None]:
    """Refuse a container that is not there as a wrong parameter: not found means the image, to clients."""
    try:
        yield
    except ContainerNotFoundError as error:
        raise RequestRefusedError(str(error)) from error


def _mounted_chains(record: ContainerRecord) -> list[ChainID]:
    """Return the layers of the images that a container mounts."""
    return [ChainID(chain) for mount in record.definition.mounts for chain in mount.chain_ids]


def _with_hostname(config: ContainerConfig, host_config: HostConfig, container_id: str) -> ContainerConfig:
    if config.hostname:
        return config
    shared = host_config.uts_mode == "host" or host_config.network_mode == "host"
    return msgspec.structs.replace(config, hostname=os.uname().nodename if shared else container_id[:12])


def _platform_warnings(image: Image) -> list[str]:
    host = host_platform()
    if (image.platform.os, image.platform.architecture) == (host.os, host.architecture):
        return []
    text = (
        f"The requested image's platform ({image.platform}) does not match the detected host platform "
        f"({host}) and no specific platform was requested"
    )
    return [text]
