"""A further process in a running container.

It joins by the first process's pidfd, so it can't end up in another container that got
the same process ID meanwhile.
"""

from __future__ import annotations

import errno
import os
import select

from moorage.cgroups import files, group
from moorage.cgroups.errors import CgroupError
from moorage.cgroups.v2 import V2Group
from moorage.kernel import namespaces, prctl
from moorage.kernel.namespaces import NAMESPACES
from moorage.runtime import console, limits
from moorage.runtime.channel import Channel, Message, channel_pair
from moorage.runtime.cloning import Stage, clone_into, kill_and_reap
from moorage.runtime.containment import host_layout
from moorage.runtime.errors import StartError, StoppedError, failure
from moorage.runtime.filters import SystemCallFilter, compile_filter
from moorage.runtime.idmaps import give_stdio
from moorage.runtime.init import report
from moorage.runtime.keyrings import join_keyring
from moorage.runtime.labels import exec_labels
from moorage.runtime.launch import SECCOMP_CACHE, drop_warning
from moorage.runtime.specification import namespace_paths, section
from moorage.runtime.state_file import Status, oci_state
from moorage.runtime.transition import Transition
from moorage.runtime.validation import check_process

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH116

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn

    from moorage.runtime.containment import Containment
    from moorage.runtime.launch import Warn
    from moorage.runtime.specification import Spec

_EXPECTED = (StartError, OSError, CgroupError, EOFError)
_END_MILLISECONDS = 200
_ROOT = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Target:
    """A running container, as seen by who adds a process to it.

    Attributes:
        pid: Its first process, in the caller's PID namespace.
        pidfd: The same process; stays the owner's.
    """

    __slots__ = ("bundle", "cgroup", "container_id", "pid", "pidfd", "spec")

    def __init__(
        self, *, pid: int, pidfd: int, spec: dict[str, Any], container_id: str, bundle: str, cgroup: Containment
    ) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.spec = spec
        self.container_id = container_id
        self.bundle = bundle
        self.cgroup = cgroup


class ExecProcess:
    """A process that was added, a child of the caller, who owns the descriptors.

    Attributes:
        console_fd: The terminal's master, or -1.
    """

    __slots__ = ("console_fd", "pid", "pidfd")

    def __init__(self, *, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.console_fd = -1


class Joining:
    """One process being added.

    Attributes:
        is_contained: It began in the container's cgroup, and need not be moved there.
    """

    __slots__ = (
        "console_size",
        "is_contained",
        "log",
        "preserve_fds",
        "process",
        "root_fd",
        "seccomp_cache",
        "stdio",
        "sub_cgroups",
        "target",
    )

    def __init__(self, target: Target, process: Spec) -> None:
        self.target = target
        self.process = process
        self.stdio = (0, 1, 2)
        self.console_size: tuple[int, int] | None = None
        self.preserve_fds = 0
        self.sub_cgroups: Mapping[str, str] = {}
        self.log: Warn = drop_warning
        self.seccomp_cache = SECCOMP_CACHE
        self.root_fd = -1
        self.is_contained = False


def exec_process(  # noqa: PLR0913 - what runc's exec takes
    target: Target,
    process: dict[str, Any],
    *,
    stdio: tuple[int, int, int] = (0, 1, 2),
    console_size: tuple[int, int] | None = None,
    preserve_fds: int = 0,
    sub_cgroups: Mapping[str, str] | None = None,
    ignore_paused: bool = False,
    seccomp_cache: str = SECCOMP_CACHE,
    log: Warn | None = None,
) -> ExecProcess:
    """Start a program in a running container; return once it runs.

    Args:
        process: As `process` in a specification.
        stdio: Its standard streams, unless it has a terminal; they stay the caller's.
        sub_cgroups: Cgroups below the container's to put it in, by version 1 controller; "" is for all.
        ignore_paused: In a paused container it waits, and so does the caller, until that is resumed.

    Raises:
        StartError: It can't be started; nothing of it is left.
    """
    check_process(process)
    joining = Joining(target, process)
    joining.stdio = stdio
    joining.console_size = console_size
    joining.preserve_fds = preserve_fds
    joining.sub_cgroups = sub_cgroups or {}
    joining.log = log or drop_warning
    if not ignore_paused and target.cgroup.is_frozen():
        # It would be frozen with the others before it could say a word.
        raise StartError("cannot exec in a paused container (use --ignore-paused to override)")
    joining.seccomp_cache = seccomp_cache
    return _start(joining)


def _start(joining: Joining) -> ExecProcess:
    try:
        # The root may be a chroot below that of the mount namespace.
        joining.root_fd = os.open(f"/proc/{joining.target.pid}/root", _ROOT)
        parent, child = channel_pair()
        try:
            added = _clone(joining, parent, child)
        finally:
            os.close(joining.root_fd)
    except OSError as error:
        raise _failure(joining.target, error) from error
    try:
        _provide(joining, added, parent)
        _converse(joining, added, parent)
    except _EXPECTED as error:
        reason = _reason(added, parent, error, added_to=joining.target)
        _abandon(added)
        raise reason from error
    finally:
        parent.close()
    return added


def _clone(joining: Joining, parent: Channel, child: Channel) -> ExecProcess:
    if os.geteuid() == 0:
        pid, pidfd = _clone_into_cgroup(joining)
        if pid == 0:
            parent.close()
            _run(joining, child, stage=False)
        child.close()
    else:
        stage = Stage(parent, child, join=lambda: _join(joining.target), run=lambda: _run(joining, child, stage=True))
        pid, pidfd = stage.clone()
    return ExecProcess(pid=pid, pidfd=pidfd)


def _clone_into_cgroup(joining: Joining) -> tuple[int, int]:
    """Clone, where version 2 allows it right into the container's cgroup: that saves moving the process."""
    pid_namespace_fd, cgroup = _pid_namespace(joining.target), joining.target.cgroup
    if isinstance(cgroup, V2Group) and not joining.sub_cgroups:
        cgroup_fd = cgroup.open_fd()
        joining.is_contained = True
        try:
            return clone_into(pid_namespace_fd, cgroup_fd=cgroup_fd)
        except OSError as error:
            # A group that was divided takes no processes; to move one knows a way round.
            if error.errno not in {errno.EBUSY, errno.EOPNOTSUPP}:
                raise
            joining.is_contained = False
        finally:
            os.close(cgroup_fd)
    return clone_into(pid_namespace_fd)


def _pid_namespace(target: Target) -> int:
    return target.pidfd if "pid" in namespace_paths(target.spec) else -1


def _provide(joining: Joining, added: ExecProcess, parent: Channel) -> None:
    give_stdio(joining.target.spec, joining.process, joining.stdio)
    cgroup = joining.target.cgroup
    if path := joining.sub_cgroups.get("", ""):
        cgroup = group.open_group(f"{cgroup.path}/{path}", layout=host_layout())
        if not cgroup.exists():
            raise StartError(f"there is no cgroup {path} in the container's")
    if not joining.is_contained:
        cgroup.add(added.pid)
    for controller, path in joining.sub_cgroups.items():
        if controller:
            _enter_sub_cgroup(joining.target.cgroup, controller, path, pid=added.pid)
    score = joining.process.get("oomScoreAdj")
    if score is None:
        score = section(joining.target.spec, "process").get("oomScoreAdj")
    if score is not None:
        limits.set_oom_score(added.pid, score, warn=joining.log)
    system_calls = compile_filter(section(joining.target.spec, "linux", "seccomp"), cache=joining.seccomp_cache)
    parent.send_with_filter(Message.ATTACHED, {"pid": added.pid}, system_calls)


def _enter_sub_cgroup(cgroup: Containment, controller: str, path: str, *, pid: int) -> None:
    directory = cgroup.directories.get(controller)
    if directory is None or isinstance(cgroup, V2Group):
        raise StartError(f"the cgroup controller {controller} has no hierarchy of its own on this host")
    try:
        files.write(f"{directory}/{path}", "cgroup.procs", str(pid))
    except FileNotFoundError as error:
        raise StartError(f"there is no cgroup {path} in the container's") from error


def _converse(joining: Joining, added: ExecProcess, parent: Channel) -> None:
    ready = False
    try:
        while True:
            kind, payload, fds = parent.receive()
            if kind is Message.READY:
                ready = True
                added.console_fd = fds[0] if fds else -1
            elif kind is Message.WARNING:
                joining.log(payload)
            else:
                raise StartError(payload["message"], payload["exit_code"])
    except EOFError as error:
        if not ready:
            raise StartError("the process ended before it became a program") from error


def _failure(target: Target, error: BaseException) -> StartError:
    """Return why nothing could be added: the container's end, if that came in between, whatever met it first."""
    poll = select.poll()
    poll.register(target.pidfd, select.POLLIN)
    # A first process that was killed ends last: the kernel waits for all others in its namespace.
    return StoppedError() if poll.poll(_END_MILLISECONDS) else failure(error)


def _reason(added: ExecProcess, parent: Channel, error: BaseException, *, added_to: Target) -> StartError:
    kill_and_reap(added.pidfd)
    try:
        while True:
            kind, payload, _ = parent.receive()
            if kind is Message.FAILED:
                return StartError(payload["message"], payload["exit_code"])
    except (EOFError, OSError):
        return _failure(added_to, error)


def _abandon(added: ExecProcess) -> None:
    for fd in (added.pidfd, added.console_fd):
        if fd >= 0:
            os.close(fd)


def _run(joining: Joining, channel: Channel, *, stage: bool) -> NoReturn:
    try:
        _Joined(joining, channel).become(joined=stage)
    except BaseException as error:  # noqa: BLE001 - the parent's stack must never be unwound here
        report(channel, error)
    os._exit(255)


def _join(target: Target) -> None:
    """Enter all namespaces of the container at once, but those that are ours anyway."""
    flags = 0
    for kind in namespace_paths(target.spec):
        if kind != "user" or not _is_own_user_namespace(target.pid):
            flags |= NAMESPACES[kind][0]
    namespaces.setns(target.pidfd, flags)
    if flags & NAMESPACES["user"][0]:
        # Without this we are nobody in it.
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)


def _is_own_user_namespace(pid: int) -> bool:
    # Joining the own one is an error, unlike with all other kinds.
    own, other = os.stat("/proc/self/ns/user"), os.stat(f"/proc/{pid}/ns/user")
    return own.st_ino == other.st_ino


class _Joined:
    """The child's side."""

    def __init__(self, joining: Joining, channel: Channel) -> None:
        self._joining = joining
        self._process = joining.process
        self._channel = channel

    def become(self, *, joined: bool) -> NoReturn:
        """Become the program.

        Args:
            joined: A stage has joined the namespaces already.
        """
        joining, target, process = self._joining, self._joining.target, self._process
        affinity = section(process, "execCPUAffinity")
        limits.set_affinity(affinity.get("initial") or "")
        os.setsid()
        join_keyring(target.container_id, warn=self._warn)
        if not process.get("terminal"):
            console.take_stdio(joining.stdio)
        labels = exec_labels(process)
        in_user_namespace = joined or not _is_own_user_namespace(target.pid)
        _, payload, fds = self._channel.receive()
        system_calls = SystemCallFilter.from_message(payload.get("filter"), fds)
        limits.set_affinity(affinity.get("final") or "")
        if not joined:
            # In the container's PID namespace we are, by our clone.
            _join(target)
        os.fchdir(joining.root_fd)
        os.chroot(".")
        if not process.get("terminal"):
            console.reopen_null()
        transition = Transition(
            process,
            labels=labels,
            preserve_fds=joining.preserve_fds,
            in_user_namespace=in_user_namespace,
        )
        self._prepare(transition)
        state = oci_state(
            target.spec,
            container_id=target.container_id,
            bundle=target.bundle,
            pid=payload["pid"],
            status=Status.RUNNING,
        )
        transition.run(state=state, system_calls=system_calls, warn=self._warn)

    def _prepare(self, transition: Transition) -> None:
        prctl.set_dumpable(dumpable=False)
        personality = section(self._joining.target.spec, "linux", "personality")
        if personality:
            limits.set_personality(personality.get("domain") or "LINUX")
        master_fd = self._open_console()
        transition.check()
        for warning in transition.warnings:
            self._warn(warning)
        self._channel.send(Message.READY, fds=[master_fd] if master_fd >= 0 else [])

    def _open_console(self) -> int:
        process = self._process
        if not process.get("terminal"):
            return -1
        size = console.requested_size(process, self._joining.console_size)
        uid = section(process, "user").get("uid") or 0
        master_fd, peer_fd = console.open_console(self._joining.root_fd, size=size, uid=uid)
        console.take_terminal(peer_fd)
        os.close(peer_fd)
        return master_fd

    def _warn(self, text: str) -> None:
        self._channel.send(Message.WARNING, text)
