"""What `create` and `run` have in common: from a bundle's directory to a created container."""

from __future__ import annotations

import array
import json
import os
import socket
import time

from moorage.cgroups.systemd_paths import parse_unit_path
from moorage.runtime import process
from moorage.runtime.containers import ContainerRecord, reserve, start_time
from moorage.runtime.errors import ContainerStateError, InvalidSpecError, StartError, describe
from moorage.runtime.launch import Launch
from moorage.runtime.no_cgroup import NoGroup

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH100, PTH104, PTH118, PTH119, PTH120, PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from moorage.runtime.criu.restoring import RestoredProcess
    from moorage.runtime.invocation import Invocation
    from moorage.runtime.process import InitProcess


def add_launch_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that creates a container."""
    parser.add_argument("-b", "--bundle", default="", help="path to the root of the bundle directory")
    parser.add_argument("-f", "--config", default="config.json", help="the specification's name in the bundle")
    parser.add_argument("--console-socket", default="", help="path to an AF_UNIX socket for the terminal's master")
    parser.add_argument("--pidfd-socket", default="", help="path to an AF_UNIX socket for a descriptor of the process")
    parser.add_argument("--pid-file", default="", help="specify the file to write the process id to")
    parser.add_argument("--no-pivot", action="store_true", help="do not use pivot root to jail process inside rootfs")
    parser.add_argument("--no-new-keyring", action="store_true", help="do not create a new session keyring")
    parser.add_argument("--preserve-fds", type=int, default=0, metavar="N", help="pass N additional descriptors")
    parser.add_argument("container_id", metavar="<container-id>", help="unique name of the container on this host")


def read_spec(path: str) -> dict[str, Any]:
    """Read a specification.

    Raises:
        StartError: It is missing or no JSON object.
    """
    try:
        with open(path, encoding="utf-8") as file:
            spec = json.load(file)
    except FileNotFoundError as error:
        raise StartError(f"JSON specification file {path} not found") from error
    except ValueError as error:
        raise InvalidSpecError(f"{path}: {error}") from error
    if not isinstance(spec, dict):
        raise InvalidSpecError(f"{path} is not a JSON object")
    return spec


def create_container(
    options: argparse.Namespace, invocation: Invocation, *, waits: bool
) -> tuple[InitProcess, ContainerRecord]:
    """Create the container that the options name.

    Args:
        waits: It waits for the order of another call; else for that of this process.

    Raises:
        StartError: It can't be created; nothing of it is left.
        ContainerStateError: There is one of that name.
    """
    bundle = os.path.abspath(options.bundle or ".")
    spec = read_spec(os.path.join(bundle, options.config))
    check_terminal(spec, options)
    if invocation.systemd_cgroup:
        name_unit(spec, options.container_id)
    directory = reserve(invocation.root, options.container_id)
    record = ContainerRecord(directory, facts=facts_of(options.container_id, bundle, spec), spec=spec)
    try:
        init = _launch(record, options, invocation, waits=waits)
    except BaseException:
        record.remove()
        raise
    return init, record


def _launch(
    record: ContainerRecord, options: argparse.Namespace, invocation: Invocation, *, waits: bool
) -> InitProcess:
    listener = record.listen() if waits else None
    inherited = int(os.environ.get("LISTEN_FDS") or 0)
    launch = Launch(
        spec=_with_inherited_sockets(record.spec, inherited),
        container_id=record.container_id,
        bundle=record.bundle,
        loopback=True,
        preserve_fds=options.preserve_fds + inherited,
        no_new_keyring=options.no_new_keyring,
        no_pivot=options.no_pivot,
        start_listener=listener.fileno() if listener is not None else -1,
        seccomp_cache=invocation.seccomp_cache,
        log=invocation.log.warning,
    )
    try:
        init = process.create(launch)
    except StartError as error:
        raise StartError(f"unable to start container process: {error}", error.exit_code) from error
    finally:
        if listener is not None:
            listener.close()
    try:
        publish(init, record, options)
    except BaseException:
        process.abandon(init)
        raise
    return init


def _with_inherited_sockets(spec: dict[str, Any], count: int) -> dict[str, Any]:
    """Return the specification with what tells the program of sockets that are passed to it.

    Spec: sd_listen_fds(3).
    """
    if not count:
        return spec
    process = spec.get("process") or {}
    environment = [*(process.get("env") or ()), f"LISTEN_FDS={count}", "LISTEN_PID=1"]
    return {**spec, "process": {**process, "env": environment}}


def publish(init: InitProcess | RestoredProcess, record: ContainerRecord, options: argparse.Namespace) -> None:
    """Record a container that was made, and tell whoever is to know of it."""
    record.facts["pid"] = init.pid
    record.facts["start_time"] = start_time(init.pid)
    record.facts["no_cgroup"] = isinstance(init.cgroup, NoGroup)
    record.save()
    if options.console_socket:
        send_terminal(options.console_socket, init.console_fd)
    if getattr(options, "pidfd_socket", ""):
        send_descriptor(options.pidfd_socket, init.pidfd, "standard")
    if options.pid_file:
        write_pid_file(options.pid_file, init.pid)


def check_terminal(spec: dict[str, Any], options: argparse.Namespace) -> None:
    """Check that a terminal has somewhere to go.

    Raises:
        ContainerStateError: It has not, or what was to take it gets none.
    """
    terminal = bool((spec.get("process") or {}).get("terminal"))
    detached = getattr(options, "detach", True)
    if detached and terminal and not options.console_socket:
        raise ContainerStateError("cannot allocate tty if runc will detach without setting console socket")
    if options.console_socket and not (detached and terminal):
        raise ContainerStateError("cannot use console socket if runc will not detach or allocate tty")


def name_unit(spec: dict[str, Any], container_id: str) -> None:
    """Have systemd make the cgroup: its path becomes the name of a unit.

    Raises:
        InvalidSpecError: It is the name of something else.
    """
    linux = spec.setdefault("linux", {})
    path = linux.get("cgroupsPath") or f":moor-oci:{container_id}"
    if parse_unit_path(path) is None:
        raise InvalidSpecError(
            f'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got {path!r} instead'
        )
    linux["cgroupsPath"] = path


def facts_of(container_id: str, bundle: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Return what is recorded of a new container."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        cgroups = file.read()
    root = (spec.get("root") or {}).get("path") or ""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return {
        "id": container_id,
        "pid": 0,
        "start_time": 0,
        "bundle": bundle,
        "rootfs": os.path.join(bundle, root),
        "created": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09d}Z",
        "owner": "root" if os.getuid() == 0 else str(os.getuid()),
        "cgroups": cgroups,
        "no_cgroup": False,
    }


def send_terminal(path: str, master_fd: int) -> None:
    """Give a terminal's master to whoever listens at a socket.

    Raises:
        StartError: Nobody does.
    """
    send_descriptor(path, master_fd, "/dev/ptmx")


def send_descriptor(path: str, fd: int, name: str) -> None:
    """Give a descriptor, with its name, to whoever listens at a socket.

    Raises:
        StartError: Nobody does.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        try:
            connection.connect(path)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            connection.sendmsg([name.encode()], rights)
        except OSError as error:
            raise StartError(f"cannot send {name} to {path}: {describe(error)}") from error


def write_pid_file(path: str, pid: int) -> None:
    """Write a process ID, bare, into a file that appears whole."""
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}")
    with open(temporary, "w", encoding="ascii") as file:
        file.write(str(pid))
    os.rename(temporary, path)
