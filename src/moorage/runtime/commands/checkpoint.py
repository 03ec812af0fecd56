"""`checkpoint`: a running container is written to files, and ends unless it is to go on."""

from __future__ import annotations

import argparse
import os

from moorage.kernel.namespaces import CloneFlag
from moorage.runtime import containers
from moorage.runtime.commands import delete
from moorage.runtime.criu.dumping import dump, freezer_of
from moorage.runtime.criu.messages import CgroupMode
from moorage.runtime.criu.settings import Settings
from moorage.runtime.errors import ContainerStateError
from moorage.runtime.state_file import Status

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH100, PTH112, PTH117, PTH118

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from moorage.runtime.invocation import Invocation

DEFAULT_IMAGE: Final = "checkpoint"
_CGROUP_MODES: Final = {
    "ignore": CgroupMode.IGNORE,
    "soft": CgroupMode.SOFT,
    "full": CgroupMode.FULL,
    "strict": CgroupMode.STRICT,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_shared_options(parser)
    add = parser.add_argument
    add("--parent-path", default="", help="path for previous criu image files in pre-dump")
    add("--leave-running", action="store_true", help="leave the process running after checkpointing")
    add("--pre-dump", action="store_true", help="dump container's memory information only, leave it running after this")
    add("--page-server", default="", help="refused: pages are written to the image path")
    add("--status-fd", type=int, default=-1, help="refused: it is for lazy pages")
    add("container_id", metavar="<container-id>")


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of both directions."""
    add = parser.add_argument
    add("--image-path", default="", help="path for saving and reading criu image files")
    add("--work-path", default="", help="path for saving work files and logs")
    add("--tcp-established", action="store_true", help="allow open tcp connections")
    add("--ext-unix-sk", action="store_true", help="allow external unix sockets")
    add("--shell-job", action="store_true", help="allow shell jobs")
    add("--lazy-pages", action="store_true", help="refused: memory is always written and read as a whole")
    add("--file-locks", action="store_true", help="handle file locks, for safety")
    add("--manage-cgroups-mode", default="soft", help="cgroups mode: soft (default), full, strict, ignore")
    add("--empty-ns", action="append", default=[], help="create a namespace, but don't restore its properties: network")
    add("--auto-dedup", action="store_true", help="enable auto deduplication of memory images")


def shared_settings(options: argparse.Namespace, invocation: Invocation) -> Settings:
    """Return what the shared options choose.

    Raises:
        ContainerStateError: One of them is refused.
    """
    for name in ("lazy_pages", "page_server"):
        if getattr(options, name, False):
            raise ContainerStateError(f"--{name.replace('_', '-')} is not supported")
    if getattr(options, "status_fd", -1) != -1:
        raise ContainerStateError("--status-fd is not supported")
    if options.manage_cgroups_mode not in _CGROUP_MODES:
        raise ContainerStateError("Invalid manage-cgroups-mode value")
    if unknown := sorted(set(options.empty_ns) - {"network"}):
        raise ContainerStateError(f"namespace {unknown[0]!r} is not supported by --empty-ns")
    return Settings(
        image_path=os.path.abspath(options.image_path or DEFAULT_IMAGE),
        work_path=os.path.abspath(options.work_path) if options.work_path else "",
        tcp_established=options.tcp_established,
        ext_unix_sk=options.ext_unix_sk,
        shell_job=options.shell_job,
        file_locks=options.file_locks,
        auto_dedup=options.auto_dedup,
        empty_namespaces=int(CloneFlag.NEWNET) if options.empty_ns else 0,
        cgroup_mode=_CGROUP_MODES[options.manage_cgroups_mode],
        program=invocation.criu,
    )


def run(options: argparse.Namespace, invocation: Invocation) -> int:
    """Write the checkpoint."""
    record = containers.load(invocation.root, options.container_id)
    status = record.status()
    if status not in {Status.RUNNING, Status.PAUSED}:
        raise ContainerStateError(f"Container cannot be checkpointed in {status.value} state")
    settings = shared_settings(options, invocation)
    settings.leave_running = options.leave_running
    settings.pre_dump = options.pre_dump
    if options.parent_path:
        settings.parent_path = _checked_parent(options.parent_path, settings.image_path)
    # Engines pause a container first, so that nothing changes beside the checkpoint.
    frozen = freezer_of(record.cgroup()) if status is Status.PAUSED else ""
    dump(record.pid, record.spec, settings, frozen=frozen)
    if not (options.leave_running or options.pre_dump):
        delete.end(record)
        delete.delete(record, invocation)
    return 0


def _checked_parent(path: str, image_path: str) -> str:
    if os.path.isabs(path):
        raise ContainerStateError("--parent-path must be relative")
    if not os.path.isdir(os.path.join(image_path, path)):
        raise ContainerStateError(f"parent-path {path!r}: no such directory beside the images")
    return path
