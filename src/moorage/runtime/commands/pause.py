"""`pause`: all processes of a container stand still."""

from __future__ import annotations

from moorage.runtime import containers
from moorage.runtime.state_file import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from moorage.runtime.invocation import Invocation


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("container_id", metavar="<container-id>")


def run(options: argparse.Namespace, invocation: Invocation) -> int:
    """Freeze the container."""
    record = containers.load(invocation.root, options.container_id)
    record.require(Status.RUNNING, Status.CREATED, action="pause")
    record.cgroup().freeze()
    return 0
