"""`kill`: a signal for a container's first process, or for all."""

from __future__ import annotations

import os
import signal

from moorage.kernel import pidfd
from moorage.runtime import containers
from moorage.runtime.errors import ContainerStateError
from moorage.runtime.state_file import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from moorage.runtime.invocation import Invocation


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("-a", "--all", action="store_true", help="send it to all processes inside the container")
    parser.add_argument("container_id", metavar="<container-id>")
    parser.add_argument("signal", nargs="?", default="SIGTERM", help="name or number")


def run(options: argparse.Namespace, invocation: Invocation) -> int:
    """Send the signal."""
    record = containers.load(invocation.root, options.container_id)
    number = parse_signal(options.signal)
    if options.all:
        # Processes may outlive the first one where they have no PID namespace of their own.
        record.cgroup().kill(number)
        return 0
    if record.status() not in {Status.CREATED, Status.RUNNING, Status.PAUSED}:
        raise ContainerStateError("container not running")
    process_fd = record.open_pidfd()
    try:
        pidfd.pidfd_send_signal(process_fd, number)
    finally:
        os.close(process_fd)
    if number == signal.SIGKILL and record.status() is Status.PAUSED:
        # A frozen process only dies once it is thawed.
        record.cgroup().thaw()
    return 0


def parse_signal(text: str) -> int:
    """Return the number of a signal given as "KILL", "SIGKILL" or "9".

    Raises:
        ContainerStateError: There is no such signal.
    """
    if text.isdigit() and 0 < int(text) <= signal.SIGRTMAX:
        return int(text)
    name = text.upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    if name not in signal.Signals.__members__:
        raise ContainerStateError(f"unknown signal {text!r}")
    return int(signal.Signals[name])
