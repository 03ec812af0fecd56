"""`restore`: a container goes on from where a checkpoint was made of it."""

from __future__ import annotations

import os

from moorage.kernel import mount, namespaces
from moorage.kernel.mount import MountFlag
from moorage.kernel.namespaces import CloneFlag
from moorage.runtime.attendance import attend
from moorage.runtime.commands import delete
from moorage.runtime.commands.checkpoint import add_shared_options, shared_settings
from moorage.runtime.containers import ContainerRecord, reserve
from moorage.runtime.criu.restoring import abandon, restore
from moorage.runtime.errors import StartError
from moorage.runtime.hooks import run_hooks_leniently
from moorage.runtime.launch import Launch
from moorage.runtime.launching import check_terminal, facts_of, name_unit, publish, read_spec
from moorage.runtime.rootfs import attach_root, clone_directory
from moorage.runtime.specification import entries
from moorage.runtime.state_file import Status

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH100, PTH118

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from moorage.runtime.criu.restoring import RestoredProcess
    from moorage.runtime.criu.settings import Settings
    from moorage.runtime.invocation import Invocation


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_shared_options(parser)
    add = parser.add_argument
    add("-b", "--bundle", default="", help="path to the root of the bundle directory")
    add("-d", "--detach", action="store_true", help="detach from the container's process")
    add("--console-socket", default="", help="path to an AF_UNIX socket for the terminal's master")
    add("--pid-file", default="", help="specify the file to write the process id to")
    add("--no-subreaper", action="store_true", help="accepted: orphans are never reaped here")
    add("--no-pivot", action="store_true", help="accepted: criu changes the root in its own way")
    add("--lsm-profile", default="", help="an LSM profile to be used during restore in the form of TYPE:NAME")
    add("--lsm-mount-context", default="", help="an LSM mount context to be used during restore")
    add("container_id", metavar="<container-id>")


def run(options: argparse.Namespace, invocation: Invocation) -> int:
    """Restore the container; return its exit code, or 0 when detached."""
    bundle = os.path.abspath(options.bundle or ".")
    spec = read_spec(os.path.join(bundle, "config.json"))
    check_terminal(spec, options)
    if invocation.systemd_cgroup:
        name_unit(spec, options.container_id)
    settings = shared_settings(options, invocation)
    settings.lsm_profile = options.lsm_profile
    settings.lsm_mount_context = options.lsm_mount_context
    directory = reserve(invocation.root, options.container_id)
    record = ContainerRecord(directory, facts=facts_of(options.container_id, bundle, spec), spec=spec)
    try:
        restored = _restore(record, settings, options, invocation)
    except BaseException:
        record.remove()
        raise
    if options.detach:
        return 0
    code = attend(restored.pidfd, console_fd=restored.console_fd)
    delete.delete(record, invocation)
    return code


def _restore(
    record: ContainerRecord, settings: Settings, options: argparse.Namespace, invocation: Invocation
) -> RestoredProcess:
    launch = Launch(
        spec=record.spec, container_id=record.container_id, bundle=record.bundle, log=invocation.log.warning
    )
    _mount_root(launch.root_path)
    restored = restore(launch, settings)
    try:
        publish(restored, record, options)
    except BaseException:
        abandon(restored, launch)
        raise
    hooks: list[Any] = entries(record.spec, "hooks", "poststart")
    if hooks:
        state = record.state() | {"status": Status.RUNNING.value, "pid": record.pid}
        run_hooks_leniently("poststart", hooks, state, log=invocation.log.warning)
    return restored


def _mount_root(path: str) -> None:
    """Make the root a mount point, which criu asks for, in a mount namespace that ends with this call."""
    try:
        namespaces.unshare(CloneFlag.NEWNS)
        mount.mount(None, "/", None, MountFlag.REC | MountFlag.SLAVE)
        root_fd = clone_directory(path)
        try:
            attach_root(root_fd, path, propagation=0)
        finally:
            os.close(root_fd)
    except OSError as error:
        raise StartError(f"cannot mount {path}: {error.strerror}") from error
