"""From a container's record to its bundle: what the runtime and the shim are told.

Everything here is worked out anew at every start: users from the image's files, sources
of mounts, namespaces to join, ports and addresses.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from moorage.api.containers import ContainerConfig
from moorage.api.host_config import HostConfig, Ulimit
from moorage.api.timestamps import format_time
from moorage.engine.bundles.devices import DeviceRule, HostDevice, all_host_devices, collect_devices
from moorage.engine.bundles.host_facts import HostFacts
from moorage.engine.bundles.layered import read_layered_file
from moorage.engine.bundles.modes import joined_container
from moorage.engine.bundles.spec import BundleInputs, RuntimeSpec, build_spec, runs_init
from moorage.engine.bundles.users import ResolvedUser, resolve_user
from moorage.engine.containers.errors import (
    ContainerStateError,
    NotRunningError,
    RequestFailedError,
    RequestRefusedError,
    RestartingError,
)
from moorage.engine.containers.groups import ContainerGroups
from moorage.engine.containers.link_environment import link_environment
from moorage.engine.containers.links import named_links
from moorage.engine.containers.mounting import MountPreparer
from moorage.engine.containers.paths import NETWORK_FILES, ContainerPaths
from moorage.engine.containers.ports import Networks, Snapshots
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.sandboxes import network_owner, sandbox_request
from moorage.engine.device_requests import DeviceRequests
from moorage.engine.selinux.context import shared_label
from moorage.engine.userns.mapping import IdMapping
from moorage.engine.userns.service import UserNamespaces
from moorage.errors import ConflictError
from moorage.logs.attributes import LoggedContainer
from moorage.logs.options import log_plan, readable_path
from moorage.networks.models import Sandbox
from moorage.oci.digest import ChainID

_OLDEST_VERSION = "1.0.2"
_UNEDITED = "resolv.conf.hash"
_JOINED_NAMESPACES = {"network_mode": ("network", "net"), "ipc_mode": ("ipc", "ipc"), "pid_mode": ("pid", "pid")}


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleDefaults:
    """What the daemon's configuration says about every bundle.

    Attributes:
        init_path: The program for `--init`; empty if there is none.
        ulimits: Limits of containers that do not name them.
        runtimes: Programs of the other runtimes by name: path and arguments.
        seccomp_profile: The text of the daemon's own profile; empty for the built-in one.
    """

    init_path: str = ""
    ulimits: tuple[Ulimit, ...] = ()
    runtimes: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    seccomp_profile: str = ""
    no_new_privileges: bool = False
    apparmor: bool = False


@dataclass(frozen=True, slots=True)
class Bundle:
    """The contents of config.json and launch.json."""

    spec: RuntimeSpec
    launch: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundler:
    """Makes bundles."""

    registry: ContainerRegistry
    networks: Networks
    snapshots: Snapshots
    mounts: MountPreparer
    paths: ContainerPaths
    groups: ContainerGroups
    requests: DeviceRequests
    host: HostFacts
    userns: UserNamespaces
    defaults: BundleDefaults

    def make(self, record: ContainerRecord, sandbox: Sandbox | None) -> Bundle:
        """Return the bundle of a container that starts now, with its network files written.

        Args:
            sandbox: None for a container that shares another one's network.

        Raises:
            MoorageError: Something the container needs is not there; Docker's words.
        """
        mapping = self.userns.mapping(record)
        files = self._network_files(record, sandbox, mapping)
        devices, rules = self._devices(record)
        host_config = record.host_config
        self.groups.prepare(record)
        spec = build_spec(
            BundleInputs(
                container_id=record.id,
                hostname=self.hostname(record),
                config=self.config(record),
                host_config=self._host_config(record),
                user=self.user(record, record.config.user),
                architecture=self.host.architecture,
                kernel=self.host.kernel,
                cgroups_path=self.groups.path(record),
                mounts=self._mounts(record, mapping),
                files=files,
                joined=self._joined_namespaces(record),
                devices=devices,
                device_rules=rules,
                init=self._init(record),
                id_mapping=mapping,
                apparmor=self.defaults.apparmor,
                labels=record.labels,
                seccomp_default=self.defaults.seccomp_profile,
            )
        )
        self.requests.apply(spec, host_config.device_requests or ())
        runtime = self._runtime(record)
        if runtime is not None:
            # Runtimes that Debian still ships refuse a minor version they do not know.
            spec["ociVersion"] = _OLDEST_VERSION
        launch = {
            "id": record.id,
            "rootfs": {**self._rootfs(record), "mapped": mapping is not None},
            "terminal": record.config.tty,
            "console_size": list(host_config.console_size) if any(host_config.console_size) else None,
            "stdin": _stdin(record),
            "log": self._log(record),
            "interfaces": [],
            # A namespace of its own needs its loopback even without any interface.
            "loopback": host_config.network_mode != "host" and sandbox is not None,
            "forwards": [],
            "runtime": runtime,
            "cgroup": spec["linux"]["cgroupsPath"],
        }
        if sandbox is not None:
            launch.update(self.networks.launch_fields(sandbox))
        return Bundle(spec=spec, launch=launch)

    def config(self, record: ContainerRecord) -> ContainerConfig:
        """Return the configuration with the variables of links, which its own override."""
        linked = link_environment(record, self.registry.resolve)
        if not linked:
            return record.config
        return msgspec.structs.replace(record.config, env=[*linked, *(record.config.env or ())])

    def _host_config(self, record: ContainerRecord) -> HostConfig:
        """Return the host configuration with the daemon's defaults for what it does not name."""
        host_config, defaults = record.host_config, self.defaults
        named = {ulimit.name for ulimit in host_config.ulimits or ()}
        ulimits = [*(host_config.ulimits or ()), *(limit for limit in defaults.ulimits if limit.name not in named)]
        options = host_config.security_opt or []
        if defaults.no_new_privileges and not any(text.startswith("no-new-privileges") for text in options):
            options = [*options, "no-new-privileges"]
        return msgspec.structs.replace(host_config, ulimits=ulimits, security_opt=options)

    def user(self, record: ContainerRecord, text: str) -> ResolvedUser:
        """Resolve a user against the files of the container's image and its own layer.

        Raises:
            UserNotFoundError: There is no such user or group.
        """
        groups = record.host_config.group_add or ()
        upper = self.paths.directory(record.id) / "upper"
        layers = tuple(self._lower_dirs(record))
        if not (upper / "etc").exists():
            # Nothing changed there, so the answer is the image's: the same for all its containers.
            return _image_user(layers, text, tuple(groups), marked=self.snapshots.marked)
        return _resolve((upper, *layers), text, tuple(groups), marked=self.snapshots.marked)

    def _lower_dirs(self, record: ContainerRecord) -> list[Path]:
        chain_ids = record.definition.chain_ids
        return list(self.snapshots.lower_dirs(ChainID(chain_ids[-1]))) if chain_ids else []

    def _rootfs(self, record: ContainerRecord) -> dict[str, Any]:
        chain_ids = record.definition.chain_ids
        top = ChainID(chain_ids[-1]) if chain_ids else None
        rootfs = self.snapshots.container_rootfs(record.id, top)
        if record.host_config.auto_remove and record.state.started_before:
            # After a reboot there is no second start: such containers are removed then.
            rootfs.allow_reuse()
        # Nobody will read the files of an --rm container after a power cut, so overlay
        # need not sync them when it is unmounted.
        return rootfs.launch(volatile=record.host_config.auto_remove)

    def _network_files(
        self, record: ContainerRecord, sandbox: Sandbox | None, mapping: IdMapping | None
    ) -> dict[str, str]:
        owner = network_owner(record, self.registry.find)
        directory = self.paths.directory(owner)
        if owner == record.id:
            request = replace(sandbox_request(record), links=tuple(named_links(record, self.registry.resolve)))
            for name, content in self.networks.files(request, sandbox).items():
                if name != "resolv.conf" or _is_ours(directory):
                    _write_in_place(directory / name, content)
                if mapping is not None:
                    # Root of the container may edit them, and that is somebody else outside.
                    os.chown(directory / name, *mapping.root)
                if record.labels.mount:
                    # Any container may read them: others may share this one's network.
                    label = shared_label(record.labels.mount).encode()
                    os.setxattr(directory / name, "security.selinux", label)
        return {destination: str(directory / name) for name, destination in NETWORK_FILES.items()}

    def volume_failure(self, record: ContainerRecord, cause: str) -> str:
        """Return Docker's sentence if a start failed because a volume could not be mounted; "" if not."""
        return self.mounts.failure(record.definition.mounts, cause)

    def hostname(self, record: ContainerRecord) -> str:
        """Return the name that a container sees as its own, empty if it is the host's."""
        return "" if record.host_config.uts_mode == "host" else record.config.hostname

    def _mounts(self, record: ContainerRecord, mapping: IdMapping | None) -> list[dict[str, Any]]:
        mounts = self.mounts.spec(record.definition.mounts, mapping=mapping)
        if (reference := joined_container(record.host_config.ipc_mode)) is not None:
            target = self.registry.resolve(reference)
            _require_joinable(target, "ipc")
            # POSIX shared memory is files in /dev/shm, so the two need the same one.
            source = f"/proc/{target.state.pid}/root/dev/shm"
            mounts.append(
                {"destination": "/dev/shm", "type": "bind", "source": source, "options": ["rbind", "rprivate"]}  # noqa: S108
            )
        return mounts

    def _joined_namespaces(self, record: ContainerRecord) -> dict[str, str]:
        joined: dict[str, str] = {}
        for attribute, (namespace, file) in _JOINED_NAMESPACES.items():
            reference = joined_container(getattr(record.host_config, attribute))
            if reference is None:
                continue
            target = self.registry.resolve(reference)
            _require_joinable(target, namespace)
            self.userns.check_join(record, target)
            joined[namespace] = f"/proc/{target.state.pid}/ns/{file}"
            # Namespaces belong to a user namespace: who shares the one shares the other. Used
            # only by a container that is to have one at all.
            joined["user"] = f"/proc/{target.state.pid}/ns/user"
        return joined

    def _devices(self, record: ContainerRecord) -> tuple[list[HostDevice], list[DeviceRule]]:
        mappings = record.host_config.devices or ()
        if not record.host_config.privileged:
            return collect_devices(mappings)
        # It has every device at the host's own place already; whatever it asks for besides is elsewhere.
        elsewhere, _ = collect_devices(each for each in mappings if each.path_in_container != each.path_on_host)
        return [*all_host_devices(), *elsewhere], []

    def _init(self, record: ContainerRecord) -> str | None:
        if not runs_init(record.host_config):
            return None
        if not self.defaults.init_path:
            raise RequestFailedError('exec: "docker-init": executable file not found in $PATH')
        return self.defaults.init_path

    def _log(self, record: ContainerRecord) -> Mapping[str, Any]:
        log = record.host_config.log_config
        logged = LoggedContainer(
            id=record.id,
            name=record.name,
            image_id=record.definition.image_id,
            image_name=record.definition.image,
            labels=record.config.labels or {},
            env=record.config.env or (),
            command=record.command,
            created=format_time(record.definition.created_ns),
            hostname=os.uname().nodename,
        )
        options = log.config or {}
        path = readable_path(log.type, options, self.paths.directory(record.id), record.id)
        return log_plan(log.type, options, path=path, container=logged)

    def _runtime(self, record: ContainerRecord) -> dict[str, Any] | None:
        runtime = self.defaults.runtimes.get(record.host_config.runtime)
        return None if runtime is None else {"path": runtime[0], "args": list(runtime[1])}


@lru_cache(maxsize=256)
def _image_user(layers: tuple[Path, ...], text: str, groups: tuple[str, ...], *, marked: bool) -> ResolvedUser:
    return _resolve(layers, text, groups, marked=marked)


def _resolve(layers: tuple[Path, ...], text: str, groups: tuple[str, ...], *, marked: bool) -> ResolvedUser:
    passwd, group = (
        (read_layered_file(layers, path, marked=marked) or b"").decode(errors="replace")
        for path in ("/etc/passwd", "/etc/group")
    )
    return resolve_user(text, passwd=passwd, group=group, extra_groups=groups)


def _write_in_place(path: Path, content: str) -> None:
    # The inode may be bind-mounted in another container that shares this network.
    try:
        with path.open("w", encoding="utf-8") as file:
            file.write(content)
            if path.name == "resolv.conf":
                file.flush()
                # What a file that nobody edited looks like, for the next start.
                (path.parent / _UNEDITED).write_text(_stamp(path), encoding="ascii")
    except OSError as error:
        raise RequestFailedError(f"write {path}: {(error.strerror or str(error)).lower()}") from error


def _is_ours(directory: Path) -> bool:
    """Tell whether a container's resolv.conf is as it was written, or missing: a user's edit is kept."""
    try:
        return (directory / _UNEDITED).read_text(encoding="ascii") == _stamp(directory / "resolv.conf")
    except FileNotFoundError:
        return True


def _stamp(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _stdin(record: ContainerRecord) -> str:
    if not record.config.open_stdin:
        return "none"
    return "once" if record.config.stdin_once else "open"


def _require_joinable(target: ContainerRecord, namespace: str) -> None:
    """Check that a container's namespace can be joined.

    Raises:
        ConflictError: It has none now; Docker's words.
        RequestRefusedError: It is not shareable; likewise.
    """
    if namespace == "network" and not target.state.running:
        raise ContainerStateError(
            "cannot join network namespace of a non running container: "
            f"container {target.name} is {target.state.status.value}"
        )
    prefix = {"network": "cannot join network namespace of container", "ipc": "failed to join IPC namespace"}
    try:
        _require_process(target)
    except ConflictError as error:
        if namespace != "network":
            # Docker's status too: nothing is wrong with the container that is to start.
            raise RequestFailedError(f"{prefix.get(namespace, 'failed to join PID namespace')}: {error}") from error
        error.args = (f"{prefix[namespace]}: {error}",)
        raise
    mode = target.host_config.ipc_mode
    if namespace == "ipc" and mode not in {"shareable", "host"} and joined_container(mode) is None:
        raise RequestRefusedError(
            f"failed to join IPC namespace: container {target.id}: "
            "non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
        )


def _require_process(target: ContainerRecord) -> None:
    if not target.state.running:
        raise NotRunningError(target.id)
    if target.state.restarting:
        raise RestartingError(target.id)
