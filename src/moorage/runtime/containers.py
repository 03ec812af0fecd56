"""Containers as `moor-oci` keeps them between its calls: a directory each.

<root>/<id>/state.json      what was made, and by whom
<root>/<id>/config.json     the specification as it was then
<root>/<id>/start.sock      there as long as the container waits to be started
"""

from __future__ import annotations

import contextlib
import json
import os
import socket

from moorage.cgroups import files, group
from moorage.cgroups.paths import parse_layout
from moorage.kernel import pidfd
from moorage.runtime.containment import cgroup_path
from moorage.runtime.errors import ContainerStateError
from moorage.runtime.no_cgroup import NoGroup
from moorage.runtime.state_file import Status, oci_state
from moorage.runtime.validation import check_container_id

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH102, PTH103, PTH104, PTH106, PTH108, PTH110, PTH123, PTH208

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from moorage.runtime.containment import Containment

_STATE: Final = "state.json"
_CONFIG: Final = "config.json"
_SOCKET: Final = "start.sock"


class ContainerRecord:
    """One container of a state directory.

    Attributes:
        facts: What state.json holds: id, pid, start_time, bundle, rootfs, created, owner,
            cgroups (the text of /proc/self/cgroup at creation: what a relative cgroup
            path is relative to), no_cgroup (its user may have none).
        spec: The specification at creation.
    """

    __slots__ = ("container_id", "directory", "facts", "spec")

    def __init__(self, directory: str, *, facts: dict[str, Any], spec: dict[str, Any]) -> None:
        self.directory = directory
        self.container_id: str = facts["id"]
        self.facts = facts
        self.spec = spec

    @property
    def pid(self) -> int:
        """The first process, also once it has ended."""
        pid: int = self.facts["pid"]
        return pid

    @property
    def bundle(self) -> str:
        """The bundle, as given."""
        bundle: str = self.facts["bundle"]
        return bundle

    def save(self) -> None:
        """Write both files; each appears whole or not at all."""
        _write(f"{self.directory}/{_CONFIG}", self.spec)
        _write(f"{self.directory}/{_STATE}", self.facts)

    def cgroup(self) -> Containment:
        """Return the container's cgroup."""
        if self.facts["no_cgroup"]:
            return NoGroup(self.pid)
        layout = parse_layout(files.read("/proc/self", "mountinfo"), self.facts["cgroups"])
        return group.open_group(cgroup_path(self.spec, container_id=self.container_id), layout=layout)

    def status(self) -> Status:
        """Find out what the container is doing now."""
        if not self.pid:
            return Status.CREATING
        if start_time(self.pid) != self.facts["start_time"]:
            return Status.STOPPED
        if os.path.exists(f"{self.directory}/{_SOCKET}"):
            return Status.CREATED
        return Status.PAUSED if self.cgroup().is_frozen() else Status.RUNNING

    def state(self) -> dict[str, Any]:
        """Return the state as the specification defines it, with what runc adds."""
        status = self.status()
        pid = 0 if status is Status.STOPPED else self.pid
        state = oci_state(self.spec, container_id=self.container_id, bundle=self.bundle, pid=pid, status=status)
        return state | {name: self.facts[name] for name in ("rootfs", "created", "owner")}

    def require(self, *allowed: Status, action: str) -> Status:
        """Return the status if it is an allowed one.

        Raises:
            ContainerStateError: It is another one.
        """
        status = self.status()
        if status not in allowed:
            raise ContainerStateError(f"cannot {action} a container that is {status.value}")
        return status

    def open_pidfd(self) -> int:
        """Return a pidfd of the first process; the caller owns it.

        Raises:
            ContainerStateError: It has ended.
        """
        try:
            process_fd = pidfd.pidfd_open(self.pid)
        except ProcessLookupError as error:
            raise ContainerStateError("container not running") from error
        # Only now is it certain that the pid did not change hands.
        if start_time(self.pid) != self.facts["start_time"]:
            os.close(process_fd)
            raise ContainerStateError("container not running")
        return process_fd

    def listen(self) -> socket.socket:
        """Return a new listening socket for the order to start."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        with _short_path(self.directory) as directory:
            listener.bind(f"{directory}/{_SOCKET}")
        listener.listen(1)
        return listener

    def connect(self) -> socket.socket:
        """Connect to the waiting container and take its socket away: it is started once.

        Raises:
            ContainerStateError: It waits no more.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            with _short_path(self.directory) as directory:
                connection.connect(f"{directory}/{_SOCKET}")
            os.unlink(f"{self.directory}/{_SOCKET}")
        except (FileNotFoundError, ConnectionRefusedError) as error:
            connection.close()
            raise ContainerStateError("cannot start an already running container") from error
        return connection

    def remove(self) -> None:
        """Forget the container."""
        # Not shutil, whose import takes longer than this whole call: there is no directory in it.
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.directory):
                os.unlink(f"{self.directory}/{name}")
            os.rmdir(self.directory)


def reserve(root: str, container_id: str) -> str:
    """Make a container's directory and return it.

    Raises:
        InvalidSpecError: The ID can't be one.
        ContainerStateError: There is such a container.
    """
    check_container_id(container_id)
    os.makedirs(root, mode=0o700, exist_ok=True)
    directory = f"{root}/{container_id}"
    try:
        os.mkdir(directory, 0o711)
    except FileExistsError as error:
        raise ContainerStateError("container with given ID already exists") from error
    return directory


def load(root: str, container_id: str) -> ContainerRecord:
    """Return a container.

    Raises:
        ContainerStateError: There is none.
    """
    check_container_id(container_id)
    directory = f"{root}/{container_id}"
    try:
        return ContainerRecord(directory, facts=_read(f"{directory}/{_STATE}"), spec=_read(f"{directory}/{_CONFIG}"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ContainerStateError("container does not exist") from error


def load_all(root: str) -> list[ContainerRecord]:
    """Return all containers, by ID; one that is just being made or removed is left out."""
    found = []
    try:
        names = sorted(os.listdir(root))
    except FileNotFoundError:
        return []
    for name in names:
        with contextlib.suppress(ContainerStateError):
            found.append(load(root, name))
    return found


def start_time(pid: int) -> int:
    """Return when a process began, in clock ticks since boot; 0 if it has ended, buried or not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, in brackets, may hold anything.
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in {b"Z", b"X"} else int(fields[19])


def _read(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _write(path: str, value: Any) -> None:
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.rename(temporary, path)


@contextlib.contextmanager
def _short_path(directory: str) -> Any:
    # A socket's path has room for 107 bytes only.
    directory_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory_fd}"
    finally:
        os.close(directory_fd)
