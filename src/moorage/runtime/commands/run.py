"""`run`: create, start and, unless detached, stay with a container until it ends."""

from __future__ import annotations

from moorage.runtime import process
from moorage.runtime.attendance import attend
from moorage.runtime.commands import delete
from moorage.runtime.errors import StartError
from moorage.runtime.launching import add_launch_options, create_container

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from moorage.runtime.containers import ContainerRecord
    from moorage.runtime.invocation import Invocation
    from moorage.runtime.process import InitProcess


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("-d", "--detach", action="store_true", help="detach from the container's process")
    parser.add_argument("--keep", action="store_true", help="do not delete the container after it exits")
    parser.add_argument("--no-subreaper", action="store_true", help="accepted: orphans are never reaped here")
    add_launch_options(parser)


def run(options: argparse.Namespace, invocation: Invocation) -> int:
    """Run the container; return its exit code, or 0 when detached."""
    try:
        init, record = create_container(options, invocation, waits=False)
        _start(init, record)
    except StartError as error:
        raise StartError(f"moor-oci run failed: {error}", error.exit_code) from error
    if options.detach:
        return 0
    code = attend(init.pidfd, console_fd=init.console_fd)
    if not options.keep:
        delete.delete(record, invocation)
    return code


def _start(init: InitProcess, record: ContainerRecord) -> None:
    try:
        process.start(init)
    except StartError as error:
        record.remove()
        raise StartError(f"unable to start container process: {error}", error.exit_code) from error
