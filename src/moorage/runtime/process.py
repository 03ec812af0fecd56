"""A container's first process: created, started, and everything undone.

`create` does all that can be done before the program is wanted; `start` is then one
message and one exec. While the child builds its root, the parent makes control groups
and interfaces: neither waits for the other longer than it must.
"""

from __future__ import annotations

import importlib
import os

from moorage.cgroups.errors import CgroupError
from moorage.cgroups.paths import Mode
from moorage.cgroups.v2 import V2Group
from moorage.runtime.channel import Channel, Message, channel_pair
from moorage.runtime.cloning import clone_init, kill_and_reap
from moorage.runtime.containment import create_cgroup, host_layout, open_cgroup, remove_cgroup, resources_of
from moorage.runtime.errors import StartError, failure
from moorage.runtime.filters import compile_filter
from moorage.runtime.hooks import run_hooks, run_hooks_leniently
from moorage.runtime.idmaps import give_stdio, host_id, id_ranges, write_maps
from moorage.runtime.interfaces import set_up_interfaces
from moorage.runtime.joining import Target
from moorage.runtime.limits import set_oom_score
from moorage.runtime.preparation import Preparation
from moorage.runtime.privileges import grantable
from moorage.runtime.resctrl import ResctrlGroup
from moorage.runtime.rootfs import take_away
from moorage.runtime.specification import entries, namespace_paths, section
from moorage.runtime.state_file import Status, oci_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from moorage.runtime.containment import Containment
    from moorage.runtime.launch import Launch, Warn

_OUT_OF_MEMORY = "container init was OOM-killed (memory limit too low?)"
_EXPECTED = (OSError, CgroupError, EOFError)


class InitProcess:
    """A container's first process, a child of the caller.

    Attributes:
        pid: As the caller's PID namespace numbers it.
        pidfd: Readable once it ended; closed by `cleanup`.
        console_fd: The terminal's master, or -1; whoever takes it sets -1 here.
        cgroup: What it and all its descendants are in.
        launch: What it was created from.
    """

    __slots__ = ("cgroup", "channel", "cleaned", "console_fd", "launch", "pid", "pidfd", "rootfs_fd")

    def __init__(self, launch: Launch, *, pid: int, pidfd: int, cgroup: Containment, channel: Channel) -> None:
        self.launch = launch
        self.pid = pid
        self.pidfd = pidfd
        self.cgroup = cgroup
        self.channel = channel
        self.console_fd = -1
        # While this is open, the end of the container does not wait for its root to be
        # unmounted, which writes the upper file system back.
        self.rootfs_fd = -1
        self.cleaned = False

    @property
    def spec(self) -> dict[str, Any]:
        """The specification it was created from."""
        return self.launch.spec

    def target(self) -> Target:
        """Return what a further process joins."""
        launch = self.launch
        return Target(
            pid=self.pid,
            pidfd=self.pidfd,
            spec=launch.spec,
            container_id=launch.container_id,
            bundle=launch.bundle,
            cgroup=self.cgroup,
        )

    def state(self, status: Status) -> dict[str, Any]:
        """Return the state that hooks are given."""
        launch = self.launch
        return oci_state(
            launch.spec, container_id=launch.container_id, bundle=launch.bundle, pid=self.pid, status=status
        )


def warm_up() -> None:
    """Find out once what holds for every start; a process that forks others calls it before it seals itself."""
    grantable()
    if host_layout().mode is Mode.V2:
        # Only such hosts can need it, and later it could no longer be imported.
        importlib.import_module("moorage.cgroups.systemd")


def create(launch: Launch) -> InitProcess:
    """Create a container: everything but its program runs.

    Raises:
        StartError: It can't be created; nothing of it is left.
    """
    try:
        preparation = Preparation(launch)
    except OSError as error:
        raise failure(error) from error
    try:
        return _create(preparation)
    finally:
        preparation.close()


def _create(preparation: Preparation) -> InitProcess:
    launch = preparation.launch
    try:
        cgroup = open_cgroup(launch.spec, container_id=launch.container_id)
        init = _clone(preparation, cgroup)
    except (OSError, CgroupError) as error:
        raise failure(error) from error
    try:
        _provide(init)
        _converse_until_ready(init)
    except (StartError, *_EXPECTED) as error:
        reason = _reason(init, error)
        abandon(init)
        raise reason from error
    except BaseException:
        abandon(init)
        raise
    return init


def _clone(preparation: Preparation, cgroup: Containment) -> InitProcess:
    cgroup_fd = -1
    if isinstance(cgroup, V2Group):
        # A clone can begin in it, which saves moving it: the kernel's slowest operation here.
        cgroup = create_cgroup(cgroup, log=preparation.launch.log)
        cgroup_fd = cgroup.open_fd() if isinstance(cgroup, V2Group) else -1
    parent, child = channel_pair()
    try:
        pid, pidfd = clone_init(preparation, parent, child, cgroup_fd=cgroup_fd)
    except BaseException:
        parent.close()
        if cgroup_fd >= 0:
            cgroup.delete()
        raise
    finally:
        # Only the parent comes here.
        if cgroup_fd >= 0:
            os.close(cgroup_fd)
    return InitProcess(preparation.launch, pid=pid, pidfd=pidfd, cgroup=cgroup, channel=parent)


def _provide(init: InitProcess) -> None:
    """Give the child what only its parent can, in the order in which it asks for it."""
    launch, channel, linux = init.launch, init.channel, section(init.spec, "linux")
    if linux.get("uidMappings") and not _joins_user_namespace(init.spec):
        write_maps(init.pid, id_ranges(linux["uidMappings"]), id_ranges(linux.get("gidMappings") or ()))
        channel.send(Message.MAPPED)
    give_stdio(init.spec, section(init.spec, "process"), launch.stdio)
    init.cgroup = create_cgroup(init.cgroup, log=launch.log)
    channel.send(Message.CGROUPS_MADE, {"pid": init.pid})
    init.cgroup.apply(resources_of(init.spec))
    init.cgroup.add(init.pid)
    if linux.get("intelRdt"):
        ResctrlGroup(linux["intelRdt"], container_id=launch.container_id).enter(init.pid)
    _delegate_cgroup(init)
    channel.send(Message.ATTACHED)
    score = section(init.spec, "process").get("oomScoreAdj")
    if score is not None:
        set_oom_score(init.pid, score, warn=launch.log)
    set_up_interfaces(launch, pid=init.pid)
    system_calls = compile_filter(section(linux, "seccomp"), cache=launch.seccomp_cache)
    channel.send_with_filter(Message.GO, {}, system_calls)


def _delegate_cgroup(init: InitProcess) -> None:
    """Hand the cgroup to the container's root, where that can write to it and to nothing above."""
    linux, cgroup = section(init.spec, "linux"), init.cgroup
    new = {kind for kind, path in namespace_paths(init.spec).items() if not path}
    if not isinstance(cgroup, V2Group) or not {"user", "cgroup"} <= new or os.geteuid() != 0:
        return
    shown = [entry for entry in entries(init.spec, "mounts") if entry["destination"] == "/sys/fs/cgroup"]
    if shown and "ro" not in (shown[-1].get("options") or ()):
        uid, gid = (host_id(id_ranges(linux[name]), 0) for name in ("uidMappings", "gidMappings"))
        cgroup.delegate(uid=uid, gid=gid)


def _joins_user_namespace(spec: dict[str, Any]) -> bool:
    return any(entry["type"] == "user" and entry.get("path") for entry in entries(spec, "linux", "namespaces"))


def _converse_until_ready(init: InitProcess) -> None:
    while True:
        kind, payload, fds = init.channel.receive()
        if kind is Message.READY:
            kept = dict(zip(payload, fds, strict=True))
            init.console_fd = kept.get("console", -1)
            init.rootfs_fd = kept.get("root", -1)
            return
        _answer(init, kind, payload)


def _answer(init: InitProcess, kind: Message, payload: Any) -> None:
    match kind:
        case Message.WARNING:
            init.launch.log(payload)
        case Message.FAILED:
            raise StartError(payload["message"], payload["exit_code"])
        case Message.HOOKS:
            state = init.state(Status.CREATING)
            # The older kind knows no status before "created".
            run_hooks("prestart", entries(init.spec, "hooks", "prestart"), init.state(Status.CREATED))
            run_hooks("createRuntime", entries(init.spec, "hooks", "createRuntime"), state)
            init.channel.send(Message.HOOKS_RUN)
        case _:
            raise StartError(f"unexpected message {kind.name} from the container's first process")


def _reason(init: InitProcess, error: BaseException) -> StartError:
    """Return why a start failed: what the child said counts more than what we then met."""
    kill_and_reap(init.pidfd)
    try:
        while True:
            kind, payload, _ = init.channel.receive()
            if kind is Message.FAILED:
                return StartError(payload["message"], payload["exit_code"])
    except EOFError:
        pass
    if isinstance(error, EOFError):
        return StartError(_OUT_OF_MEMORY if _lacked_memory(init) else "container init exited before it was ready")
    return failure(error)


def _lacked_memory(init: InitProcess) -> bool:
    try:
        return init.cgroup.oom_kill_count() > 0
    except (OSError, CgroupError):
        return False


def abandon(init: InitProcess) -> None:
    """End a container that was created and must not be started; nothing of it is left."""
    kill_and_reap(init.pidfd)
    _undo(init)


def order_start(channel: Channel, *, log: Warn) -> None:
    """Order a waiting child to become its program; return once it has.

    Raises:
        StartError: It can't, and ends.
        OSError: It is gone.
    """
    channel.send(Message.START)
    try:
        while True:
            kind, payload, _ = channel.receive()
            if kind is Message.FAILED:
                raise StartError(payload["message"], payload["exit_code"])
            log(payload)
    except EOFError:
        # The descriptor went away in the exec.
        channel.close()


def start(init: InitProcess) -> None:
    """Start the program of a created container; return once it runs.

    Raises:
        StartError: It can't be started; the process is reaped, and nothing is left.
    """
    try:
        order_start(init.channel, log=init.launch.log)
    except (StartError, OSError) as error:
        reason = _reason(init, error)
        abandon(init)
        raise reason from error
    hooks = entries(init.spec, "hooks", "poststart")
    if hooks:
        run_hooks_leniently("poststart", hooks, init.state(Status.RUNNING), log=init.launch.log)


def cleanup(init: InitProcess) -> None:
    """Undo a start after its process was reaped: leftover processes, cgroup, descriptors, poststop hooks.

    Idempotent; what can't be removed is logged.
    """
    if init.cleaned:
        return
    _undo(init)
    hooks = entries(init.spec, "hooks", "poststop")
    if hooks:
        run_hooks_leniently("poststop", hooks, init.state(Status.STOPPED), log=init.launch.log)


def _undo(init: InitProcess) -> None:
    """Take away what a process that is reaped has left."""
    init.cleaned = True
    _close(init)
    remove_cgroup(init.cgroup, log=init.launch.log)
    settings = section(init.spec, "linux", "intelRdt")
    if settings:
        ResctrlGroup(settings, container_id=init.launch.container_id).leave()
    if "mount" not in namespace_paths(init.spec):
        take_away(init.launch.root_path, log=init.launch.log)


def _close(init: InitProcess) -> None:
    init.channel.close()
    for fd in (init.pidfd, init.console_fd, init.rootfs_fd):
        if fd >= 0:
            os.close(fd)
    init.pidfd = init.console_fd = init.rootfs_fd = -1
