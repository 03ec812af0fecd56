"""`exec`: a further process in a running container."""

from __future__ import annotations

import argparse
import json
import os

from moorage.runtime import containers
from moorage.runtime.attendance import attend
from moorage.runtime.errors import ContainerStateError, InvalidSpecError, StartError
from moorage.runtime.joining import Target, exec_process
from moorage.runtime.launching import send_descriptor, send_terminal, write_pid_file
from moorage.runtime.specification import section
from moorage.runtime.state_file import Status

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final

    from moorage.runtime.containers import ContainerRecord
    from moorage.runtime.invocation import Invocation

# What runc's exec returns when it is not the process that failed.
FAILURE: Final = 255
_CAPABILITY_SETS: Final = ("bounding", "effective", "permitted")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add("--console-socket", default="", help="path to an AF_UNIX socket for the terminal's master")
    add("--cwd", default="", help="current working directory in the container")
    add("-e", "--env", action="append", default=[], help="set environment variables")
    add("-t", "--tty", action="store_true", help="allocate a pseudo-TTY")
    add("-u", "--user", default="", help="UID (format: <uid>[:<gid>])")
    add("-g", "--additional-gids", action="append", type=int, default=[], help="additional gids")
    add("-p", "--process", default="", help="path to the process.json")
    add("-d", "--detach", action="store_true", help="detach from the container's process")
    add("--pid-file", default="", help="specify the file to write the process id to")
    add("--process-label", default="", help="set the SELinux label of the process")
    add("--apparmor", default="", help="set the apparmor profile of the process")
    add("--no-new-privs", action="store_true", help="set the no new privileges value of the process")
    add("-c", "--cap", action="append", default=[], help="add a capability to the bounding set of the process")
    add("--preserve-fds", type=int, default=0, help="pass N additional file descriptors")
    add("--cgroup", action="append", default=[], help="an (existing) sub-cgroup: [<controller>:]<cgroup>")
    add("--pidfd-socket", default="", help="path to an AF_UNIX socket for a descriptor of the process")
    add("--ignore-paused", action="store_true", help="allow exec in a paused container: it starts when that resumes")
    add("container_id", metavar="<container-id>")
    # All that follows is the command's, also what looks like an option of ours.
    add("command", nargs=argparse.REMAINDER, metavar="<command> [command options]")


def run(options: argparse.Namespace, invocation: Invocation) -> int:
    """Run the process; return its exit code, or 0 when detached."""
    record = containers.load(invocation.root, options.container_id)
    status = record.status()
    if status is Status.STOPPED:
        raise ContainerStateError("cannot exec in a stopped container")
    if status is Status.PAUSED and not options.ignore_paused:
        raise ContainerStateError("cannot exec in a paused container")
    description = read_process(options, record.spec)
    terminal = bool(description.get("terminal"))
    if options.detach and terminal and not options.console_socket:
        raise ContainerStateError("cannot allocate tty if runc will detach without setting console socket")
    return _run(record, description, options, invocation)


def _run(
    record: ContainerRecord, description: dict[str, Any], options: argparse.Namespace, invocation: Invocation
) -> int:
    target_fd = record.open_pidfd()
    target = Target(
        pid=record.pid,
        pidfd=target_fd,
        spec=record.spec,
        container_id=record.container_id,
        bundle=record.bundle,
        cgroup=record.cgroup(),
    )
    try:
        added = exec_process(
            target,
            description,
            preserve_fds=options.preserve_fds,
            sub_cgroups=sub_cgroups(options.cgroup),
            ignore_paused=options.ignore_paused,
            seccomp_cache=invocation.seccomp_cache,
            log=invocation.log.warning,
        )
    except StartError as error:
        raise StartError(f"exec failed: unable to start container process: {error}", error.exit_code) from error
    finally:
        os.close(target_fd)
    if options.pid_file:
        write_pid_file(options.pid_file, added.pid)
    if options.console_socket:
        send_terminal(options.console_socket, added.console_fd)
    if options.pidfd_socket:
        send_descriptor(options.pidfd_socket, added.pidfd, "setns")
    if options.detach:
        return 0
    return attend(added.pidfd, console_fd=-1 if options.console_socket else added.console_fd)


def read_process(options: argparse.Namespace, spec: dict[str, Any]) -> dict[str, Any]:
    """Return the process that the options describe: that of --process, or the container's own with changes.

    Raises:
        StartError: There is no command, or the file is not readable.
    """
    if options.process:
        try:
            with open(options.process, encoding="utf-8") as file:
                described: dict[str, Any] = json.load(file)
        except ValueError as error:
            raise InvalidSpecError(f"{options.process}: {error}") from error
        return described
    if not options.command:
        raise ContainerStateError("process args cannot be empty")
    process = dict(section(spec, "process"))
    process["args"] = options.command
    process["terminal"] = options.tty
    process["env"] = [*(process.get("env") or ()), *options.env]
    _override(process, options)
    return process


def _override(process: dict[str, Any], options: argparse.Namespace) -> None:
    chosen = {
        "cwd": options.cwd,
        "apparmorProfile": options.apparmor,
        "selinuxLabel": options.process_label,
        "noNewPrivileges": options.no_new_privs,
    }
    process.update({name: value for name, value in chosen.items() if value})
    user = dict(section(process, "user"))
    if options.user:
        user["uid"], user["gid"] = parse_user(options.user, gid=user.get("gid") or 0)
    if options.additional_gids:
        user["additionalGids"] = [*(user.get("additionalGids") or ()), *options.additional_gids]
    process["user"] = user
    if options.cap:
        sets = dict(section(process, "capabilities"))
        process["capabilities"] = sets | {name: [*(sets.get(name) or ()), *options.cap] for name in _CAPABILITY_SETS}


def parse_user(text: str, *, gid: int) -> tuple[int, int]:
    """Return (uid, gid) of "uid" or "uid:gid".

    Args:
        gid: What to take if the text says none.

    Raises:
        ContainerStateError: They are not numbers.
    """
    user, separator, own_group = text.partition(":")
    if not user.isdigit() or (separator and not own_group.isdigit()):
        raise ContainerStateError(f"invalid user {text!r}: expected <uid>[:<gid>]")
    return int(user), int(own_group) if separator else gid


def sub_cgroups(texts: Sequence[str]) -> dict[str, str]:
    """Return paths by controller of "path" and "controller[,controller]:path"; "" is for all controllers.

    Raises:
        ContainerStateError: A path leads elsewhere, or a controller is named twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        controllers, separator, path = text.rpartition(":")
        path = path.strip("/")
        if ".." in path.split("/") or (separator and not controllers):
            raise ContainerStateError(f"--cgroup {text!r} must be a path below the container's cgroup")
        for controller in controllers.split(","):
            if controller in found:
                raise ContainerStateError(f"--cgroup {text!r}: the controller is named twice")
            found[controller] = path
    return found
