"""`delete`: take away what a stopped container has left."""

from __future__ import annotations

import contextlib
import os
import select
import signal

from moorage.kernel import pidfd
from moorage.runtime import containers
from moorage.runtime.containment import remove_cgroup
from moorage.runtime.errors import ContainerStateError
from moorage.runtime.hooks import run_hooks_leniently
from moorage.runtime.resctrl import ResctrlGroup
from moorage.runtime.rootfs import take_away
from moorage.runtime.specification import entries, namespace_paths, section
from moorage.runtime.state_file import Status

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH106

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Final

    from moorage.runtime.containers import ContainerRecord
    from moorage.runtime.invocation import Invocation

_PATIENCE: Final = 10.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("-f", "--force", action="store_true", help="forcibly delete the container if it runs (SIGKILL)")
    parser.add_argument("container_id", metavar="<container-id>")


def run(options: argparse.Namespace, invocation: Invocation) -> int:
    """Delete the container."""
    try:
        record = containers.load(invocation.root, options.container_id)
    except ContainerStateError:
        if not options.force:
            raise
        # A call that was cut short may have left an empty directory.
        with contextlib.suppress(OSError):
            os.rmdir(f"{invocation.root}/{options.container_id}")
        return 0
    status = record.status()
    if status not in {Status.STOPPED, Status.CREATED} and not options.force:
        raise ContainerStateError(f"cannot delete container {record.container_id} that is not stopped: {status.value}")
    if status is not Status.STOPPED:
        end(record)
    delete(record, invocation)
    return 0


def end(record: ContainerRecord) -> None:
    """Kill all of a container's processes and wait until the first has ended.

    Raises:
        ContainerStateError: It does not end.
    """
    try:
        process_fd = record.open_pidfd()
    except ContainerStateError:
        return
    try:
        record.cgroup().kill(signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            # Where the cgroup could not hold it.
            pidfd.pidfd_send_signal(process_fd, signal.SIGKILL)
        poll = select.poll()
        poll.register(process_fd, select.POLLIN)
        if not poll.poll(_PATIENCE * 1000):
            raise ContainerStateError("container init still running")
    finally:
        os.close(process_fd)


def delete(record: ContainerRecord, invocation: Invocation) -> None:
    """Remove what a stopped container has left, and run its last hooks."""
    state = record.state() | {"status": Status.STOPPED.value}
    remove_cgroup(record.cgroup(), log=invocation.log.warning)
    settings = section(record.spec, "linux", "intelRdt")
    if settings:
        ResctrlGroup(settings, container_id=record.container_id).leave()
    if "mount" not in namespace_paths(record.spec):
        take_away(record.facts["rootfs"], log=invocation.log.warning)
    record.remove()
    hooks = entries(record.spec, "hooks", "poststop")
    if hooks:
        run_hooks_leniently("poststop", hooks, state, log=invocation.log.warning)
