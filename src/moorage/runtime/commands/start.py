"""`start`: a created container becomes its program."""

from __future__ import annotations

import os

from moorage.runtime import containers
from moorage.runtime.channel import Channel
from moorage.runtime.errors import ContainerStateError, StartError
from moorage.runtime.hooks import run_hooks_leniently
from moorage.runtime.process import order_start
from moorage.runtime.specification import entries
from moorage.runtime.state_file import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from moorage.runtime.containers import ContainerRecord
    from moorage.runtime.invocation import Invocation


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("container_id", metavar="<container-id>")


def run(options: argparse.Namespace, invocation: Invocation) -> int:
    """Start the container."""
    record = containers.load(invocation.root, options.container_id)
    status = record.status()
    if status is Status.STOPPED:
        raise ContainerStateError("cannot start a container that has stopped")
    if status is not Status.CREATED:
        raise ContainerStateError(f"cannot start a container in the {status.value} state")
    start(record, invocation)
    return 0


def start(record: ContainerRecord, invocation: Invocation) -> None:
    """Order a waiting container to start; return once its program runs."""
    process_fd = record.open_pidfd()
    try:
        order_start(Channel(record.connect()), log=invocation.log.warning)
    except OSError as error:
        raise StartError(f"the container's first process is gone: {error.strerror}") from error
    finally:
        os.close(process_fd)
    hooks = entries(record.spec, "hooks", "poststart")
    if hooks:
        state = record.state() | {"status": Status.RUNNING.value, "pid": record.pid}
        run_hooks_leniently("poststart", hooks, state, log=invocation.log.warning)
