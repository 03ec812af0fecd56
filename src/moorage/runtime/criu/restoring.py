"""Making a container's processes again from the files of a checkpoint.

What is outside of them is made as at any start: the root file system, which the caller has
mounted in a mount namespace of its own, the cgroup, the network namespace and its
interfaces, the mounted files of the host.
"""

from __future__ import annotations

import json
import os

from moorage.kernel import mount_fd, namespaces
from moorage.kernel.libc import AT_RECURSIVE
from moorage.kernel.namespaces import CloneFlag, open_namespace
from moorage.kernel.pidfd import pidfd_open
from moorage.runtime import destinations
from moorage.runtime.cloning import kill_and_reap
from moorage.runtime.containment import (
    cgroup_path,
    create_cgroup,
    host_layout,
    open_cgroup,
    remove_cgroup,
    resources_of,
)
from moorage.runtime.criu.conversation import SOCKET_FD, converse, explain
from moorage.runtime.criu.dumping import open_directory
from moorage.runtime.criu.messages import Request
from moorage.runtime.criu.outside import EXTERNAL_NAMESPACES, JOINED_NAMESPACES, is_bind, sources
from moorage.runtime.criu.settings import DESCRIPTORS, MOUNTS
from moorage.runtime.errors import StartError, describe
from moorage.runtime.foreign_mounts import is_elsewhere, open_tree_anywhere
from moorage.runtime.hooks import run_hooks
from moorage.runtime.interfaces import fill_namespace, write_inside
from moorage.runtime.mounts import attach_tree
from moorage.runtime.specification import entries, namespace_paths, section
from moorage.runtime.state_file import Status, oci_state

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH103, PTH112, PTH118, PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from moorage.runtime.containment import Containment
    from moorage.runtime.criu.messages import Response
    from moorage.runtime.criu.settings import Settings
    from moorage.runtime.launch import Launch

_LOG: Final = "restore.log"


class RestoredProcess:
    """A container's first process, a child of the caller.

    Attributes:
        pidfd: Readable once it ended; the caller's to close.
        console_fd: The master of its terminal, or -1; the caller's to close.
        cgroup: What it and all its descendants are in.
    """

    __slots__ = ("cgroup", "console_fd", "pid", "pidfd")

    def __init__(self, pid: int, *, console_fd: int, cgroup: Containment) -> None:
        self.pid = pid
        self.pidfd = pidfd_open(pid)
        self.console_fd = console_fd
        self.cgroup = cgroup


def restore(launch: Launch, settings: Settings) -> RestoredProcess:
    """Restore a container whose root file system is mounted at `launch.root_path`.

    Raises:
        StartError: It can't be restored; nothing of it is left.
    """
    try:
        cgroup = create_cgroup(open_cgroup(launch.spec, container_id=launch.container_id), log=launch.log)
    except OSError as error:
        raise StartError(describe(error)) from error
    restoration = _Restoration(launch, settings, cgroup)
    try:
        cgroup.apply(resources_of(launch.spec))
        return restoration.run()
    except BaseException as error:
        remove_cgroup(cgroup, log=launch.log)
        if isinstance(error, OSError):
            raise StartError(describe(error)) from error
        raise
    finally:
        restoration.close()


def abandon(restored: RestoredProcess, launch: Launch) -> None:
    """End a restored container; nothing of it is left."""
    kill_and_reap(restored.pidfd)
    os.close(restored.pidfd)
    if restored.console_fd >= 0:
        os.close(restored.console_fd)
    remove_cgroup(restored.cgroup, log=launch.log)


class _Restoration:
    __slots__ = ("_cgroup", "_console_fd", "_inherited", "_launch", "_settings")

    def __init__(self, launch: Launch, settings: Settings, cgroup: Containment) -> None:
        self._launch = launch
        self._settings = settings
        self._cgroup = cgroup
        self._console_fd = -1
        # Namespaces by the key that they have in the checkpoint.
        self._inherited: dict[str, int] = {}

    def run(self) -> RestoredProcess:
        launch, settings = self._launch, self._settings
        self._open_namespaces()
        _make_mount_points(launch)
        options = settings.common_options(launch.spec) | {
            "log_file": _LOG,
            "root": launch.root_path,
            "rst_sibling": True,
            "evasive_devices": True,
            "ext_mnt": self._mounts(),
            "inherit_fd": self._inherited_descriptors(),
            "join_ns": _joined_namespaces(launch.spec),
            "lsm_profile": settings.lsm_profile,
            "lsm_mount_context": settings.lsm_mount_context,
        }
        image_fd = os.open(settings.image_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        work_fd = open_directory(settings.log_directory())
        try:
            options |= {"images_dir_fd": image_fd, "work_dir_fd": work_fd}
            pid = converse(
                settings.program,
                Request.RESTORE,
                lambda criu: options | {"cg_root": self._enter_cgroup(criu)},
                stdio=launch.stdio,
                inherited=list(self._inherited.values()),
                notified=self._notified,
            )
        except StartError as error:
            raise explain(error, log_path=f"{settings.log_directory()}/{_LOG}") from error
        finally:
            os.close(image_fd)
            os.close(work_fd)
        console_fd, self._console_fd = self._console_fd, -1
        return RestoredProcess(pid, console_fd=console_fd, cgroup=self._cgroup)

    def close(self) -> None:
        for fd in (*self._inherited.values(), self._console_fd):
            if fd >= 0:
                os.close(fd)

    def _open_namespaces(self) -> None:
        paths = namespace_paths(self._launch.spec)
        for kind, (_, key) in EXTERNAL_NAMESPACES.items():
            if paths.get(kind):
                self._inherited[key] = os.open(paths[kind], os.O_RDONLY | os.O_CLOEXEC)
            elif kind == "network" and kind in paths:
                self._inherited[key] = _new_network()
        if "network" in paths:
            namespace_fd, is_new = self._inherited[EXTERNAL_NAMESPACES["network"][1]], not paths["network"]
            fill_namespace(self._launch, namespace_fd, loopback=self._launch.loopback, is_new=is_new)
            sysctls = section(self._launch.spec, "linux", "sysctl")
            own = {name: value for name, value in sysctls.items() if name.startswith("net.")}
            if own and is_new:
                write_inside(own, namespace_fd)

    def _mounts(self) -> list[tuple[str, str]]:
        launch = self._launch
        points = _read(f"{self._settings.image_path}/{MOUNTS}")
        path = cgroup_path(launch.spec, container_id=launch.container_id)
        found = sources(launch.spec, points, bundle=launch.bundle, layout=host_layout(), cgroup=path)
        return [(point, self._reachable(source)) for point, source in found.items()]

    def _reachable(self, source: str) -> str:
        """Return a path of this mount namespace, and no link: CRIU takes one for a file of its own kind."""
        if not is_elsewhere(source):
            return os.path.realpath(source)
        place = f"{self._settings.log_directory()}/mount{source.replace('/', '-')}"
        os.makedirs(place, exist_ok=True)
        flags = mount_fd.OPEN_TREE_CLONE | mount_fd.OPEN_TREE_CLOEXEC | AT_RECURSIVE
        tree_fd = open_tree_anywhere(source, flags)
        place_fd = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            attach_tree(tree_fd, place_fd)
        finally:
            os.close(place_fd)
            os.close(tree_fd)
        return place

    def _inherited_descriptors(self) -> list[tuple[str, int]]:
        streams = _read(f"{self._settings.image_path}/{DESCRIPTORS}")
        pipes = [(text, number) for number, text in enumerate(streams) if text.startswith("pipe:")]
        return [*pipes, *((key, SOCKET_FD + 1 + number) for number, key in enumerate(self._inherited))]

    def _enter_cgroup(self, criu: int) -> list[tuple[str, str]]:
        """Put CRIU into the container's cgroup, so that all it makes is in it from the first moment."""
        self._cgroup.add(criu)
        with open(f"/proc/{criu}/cgroup", encoding="utf-8") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
        return [(controller, path) for _, controllers, path in lines for controller in controllers.split(",")]

    def _notified(self, response: Response, fds: list[int]) -> None:
        if response.script == "orphan-pts-master" and fds:
            self._console_fd = os.dup(fds[0])
        elif response.script == "setup-namespaces":
            launch = self._launch
            for kind, status in (("prestart", Status.CREATED), ("createRuntime", Status.CREATING)):
                if hooks := entries(launch.spec, "hooks", kind):
                    state = oci_state(
                        launch.spec,
                        container_id=launch.container_id,
                        bundle=launch.bundle,
                        pid=response.pid,
                        status=status,
                    )
                    run_hooks(kind, hooks, state)


def _new_network() -> int:
    """Make a network namespace; return its descriptor."""
    own_fd = open_namespace("self", "network")
    try:
        namespaces.unshare(CloneFlag.NEWNET)
        try:
            return open_namespace("self", "network")
        finally:
            namespaces.setns(own_fd, CloneFlag.NEWNET)
    finally:
        os.close(own_fd)


def _joined_namespaces(spec: Any) -> list[tuple[str, str]]:
    paths = namespace_paths(spec)
    return [(word, paths[kind]) for kind, word in JOINED_NAMESPACES.items() if paths.get(kind)]


def _make_mount_points(launch: Launch) -> None:
    """Make what is missing to mount on in the root itself; what other mounts hold is there already."""
    root_fd = os.open(launch.root_path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        covered: list[str] = []
        for mount in entries(launch.spec, "mounts"):
            place = destinations.clean(mount["destination"])
            if not any(place.startswith(f"{other}/") for other in covered):
                source = os.path.join(launch.bundle, mount.get("source") or "")
                is_file = is_bind(mount) and not os.path.isdir(source)
                open_place = destinations.open_file if is_file else destinations.open_directory
                os.close(open_place(root_fd, place))
            covered.append(place)
    finally:
        os.close(root_fd)


def _read(path: str) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise StartError(f"{path} is no part of a checkpoint: {error}") from error
