"""Making the child process, in its namespaces from the first moment."""

from __future__ import annotations

import os
import signal

from moorage.kernel import namespaces, pidfd
from moorage.kernel.namespaces import CloneFlag
from moorage.runtime import init
from moorage.runtime.channel import Message
from moorage.runtime.errors import StartError, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from moorage.runtime.channel import Channel
    from moorage.runtime.preparation import Preparation


def clone_init(preparation: Preparation, parent: Channel, child: Channel, *, cgroup_fd: int) -> tuple[int, int]:
    """Make the container's first process; return its (pid, pidfd).

    Only the parent returns, with the child's end closed: the child runs `init.run`.

    Args:
        cgroup_fd: A cgroup v2 directory to begin in, or -1.

    Raises:
        StartError: The kernel refuses a namespace.
    """
    plan = preparation.namespaces
    try:
        if plan.needs_stage:
            stage = Stage(parent, child, join=plan.join, run=lambda: init.run(preparation, child))
            return stage.clone(flags=plan.clone_flags, cgroup_fd=cgroup_fd)
        pid_namespace_fd = plan.joined.get("pid", -1)
        pid, process_fd = clone_into(pid_namespace_fd, flags=plan.clone_flags, cgroup_fd=cgroup_fd)
    except OSError as error:
        raise StartError(f"cannot make the container's namespaces: {describe(error)}") from error
    if pid == 0:
        parent.close()
        init.run(preparation, child)
    child.close()
    return pid, process_fd


def clone_into(pid_namespace_fd: int, *, flags: int = 0, cgroup_fd: int = -1) -> tuple[int, int]:
    """Clone as `namespaces.clone3`, the child in another PID namespace unless the fd is -1.

    The child has none of the caller's signal handlers: those are the parent's business.
    """
    if pid_namespace_fd < 0:
        return namespaces.clone3(flags | CloneFlag.CLEAR_SIGHAND, cgroup_fd=cgroup_fd)
    own_fd = namespaces.open_namespace("self", "pid")
    # It counts for children only, so there is a way back.
    namespaces.setns(pid_namespace_fd, CloneFlag.NEWPID)
    try:
        pid, process_fd = namespaces.clone3(flags | CloneFlag.CLEAR_SIGHAND, cgroup_fd=cgroup_fd)
    except OSError:
        _return_to(own_fd)
        raise
    if pid:
        _return_to(own_fd)
    else:
        os.close(own_fd)
    return pid, process_fd


def _return_to(own_fd: int) -> None:
    namespaces.setns(own_fd, CloneFlag.NEWPID)
    os.close(own_fd)


class Stage:
    """A process between parent and child that joins namespaces, clones the child, and ends.

    The child is the parent's own: it is the one to wait for it.
    """

    __slots__ = ("_child", "_join", "_parent", "_run")

    def __init__(
        self, parent: Channel, child: Channel, *, join: Callable[[], None], run: Callable[[], NoReturn]
    ) -> None:
        self._parent = parent
        self._child = child
        self._join = join
        self._run = run

    def clone(self, *, flags: int = 0, cgroup_fd: int = -1) -> tuple[int, int]:
        """Clone by way of the stage; return the child's (pid, pidfd). Only the parent returns.

        Raises:
            StartError: The stage could not join or clone.
        """
        stage, stage_fd = namespaces.clone3(CloneFlag.CLEAR_SIGHAND)
        if stage == 0:
            self._clone_and_end(flags, cgroup_fd)
        self._child.close()
        try:
            kind, payload, _ = self._parent.receive()
        except EOFError as error:
            raise StartError("the process that joins the namespaces ended without a word") from error
        finally:
            pidfd.wait(stage_fd)
            os.close(stage_fd)
        if kind is not Message.CLONED:
            raise StartError(payload["message"], payload["exit_code"])
        pid: int = payload
        return pid, pidfd.pidfd_open(pid)

    def _clone_and_end(self, flags: int, cgroup_fd: int) -> NoReturn:
        try:
            self._join()
            flags |= CloneFlag.PARENT | CloneFlag.CLEAR_SIGHAND
            pid, _ = namespaces.clone3(flags, exit_signal=0, cgroup_fd=cgroup_fd)
            if pid == 0:
                self._parent.close()
                self._run()
            self._child.send(Message.CLONED, pid)
        except BaseException as error:  # noqa: BLE001 - the parent's stack must never be unwound here
            init.report(self._child, error)
        os._exit(0)


def kill_and_reap(process_fd: int) -> None:
    """End a child that failed on the way, and bury it."""
    try:
        pidfd.pidfd_send_signal(process_fd, signal.SIGKILL)
        pidfd.wait(process_fd)
    except (ProcessLookupError, ChildProcessError):
        # It ended by itself, and somebody has already waited for it.
        return
