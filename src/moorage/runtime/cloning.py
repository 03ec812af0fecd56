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
            return _clone_through_stage(preparation, parent, child, cgroup_fd=cgroup_fd)
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
    """Clone as `namespaces.clone3`, the child in another PID namespace unless the fd is -1."""
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


def _clone_through_stage(
    preparation: Preparation, parent: Channel, child: Channel, *, cgroup_fd: int
) -> tuple[int, int]:
    stage, stage_fd = namespaces.clone3()
    if stage == 0:
        _run_stage(preparation, parent, child, cgroup_fd)
    child.close()
    try:
        kind, payload, _ = parent.receive()
    except EOFError as error:
        raise StartError("the process that joins the namespaces ended without a word") from error
    finally:
        pidfd.wait(stage_fd)
        os.close(stage_fd)
    if kind is not Message.CLONED:
        raise StartError(payload["message"], payload["exit_code"])
    pid: int = payload
    return pid, pidfd.pidfd_open(pid)


def _run_stage(preparation: Preparation, parent: Channel, child: Channel, cgroup_fd: int) -> NoReturn:
    try:
        plan = preparation.namespaces
        plan.join()
        # Our parent's child, not ours: it is the one to wait for it, and we are gone by then.
        pid, _ = namespaces.clone3(
            plan.clone_flags | CloneFlag.PARENT | CloneFlag.CLEAR_SIGHAND, exit_signal=0, cgroup_fd=cgroup_fd
        )
        if pid == 0:
            parent.close()
            init.run(preparation, child)
        child.send(Message.CLONED, pid)
    except BaseException as error:  # noqa: BLE001 - the parent's stack must never be unwound here
        init.report(child, error)
    os._exit(0)


def kill_and_reap(process_fd: int) -> None:
    """End a child that failed on the way, and bury it."""
    try:
        pidfd.pidfd_send_signal(process_fd, signal.SIGKILL)
        pidfd.wait(process_fd)
    except (ProcessLookupError, ChildProcessError):
        # It ended by itself, and somebody has already waited for it.
        return
