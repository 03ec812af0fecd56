"""`ps`: the processes of a container, as the host's ps shows them."""

from __future__ import annotations

import argparse
import json
import os
import sys

from moorage.runtime import containers
from moorage.runtime.errors import ContainerStateError

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from moorage.runtime.invocation import Invocation


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("-f", "--format", default="table", choices=("table", "json"), help="select one of: table, json")
    parser.add_argument("container_id", metavar="<container-id>")
    parser.add_argument(
        "ps_options", nargs=argparse.REMAINDER, metavar="ps options", help="as ps takes them, default: -ef"
    )


def run(options: argparse.Namespace, invocation: Invocation) -> int:
    """Print the processes."""
    pids = containers.load(invocation.root, options.container_id).cgroup().procs()
    if options.format == "json":
        sys.stdout.write(f"{json.dumps(sorted(pids))}\n")
    else:
        sys.stdout.write(select_lines(_host_processes(options.ps_options or ["-ef"]), set(pids)))
    return 0


def select_lines(listing: str, pids: Collection[int]) -> str:
    """Return the lines of a listing by ps that are about some processes, under its heading.

    Raises:
        ContainerStateError: The listing has no column PID.
    """
    heading, *lines = listing.splitlines()
    titles = heading.split()
    if "PID" not in titles:
        raise ContainerStateError("couldn't find PID field in ps output")
    column = titles.index("PID")
    chosen = (line for line in lines if int(line.split()[column]) in pids)
    return "".join(f"{line}\n" for line in (heading, *chosen))


def _host_processes(arguments: list[str]) -> str:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.posix_spawnp("ps", ["ps", *arguments], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1)])
    finally:
        os.close(writer)
    with open(reader, encoding="utf-8", errors="replace") as output:
        listing = output.read()
    _, status = os.waitpid(pid, 0)
    if status or not listing:
        raise ContainerStateError(f"ps failed with exit status {os.waitstatus_to_exitcode(status)}")
    return listing
