"""The systemd cgroup driver: a container's cgroup is a transient scope that systemd makes.

systemd takes itself for the only one who writes above a delegated cgroup, so on its hosts a
container's limits are properties of its scope, and what properties can't say is written
into the scope's own directory. Unified hierarchy only.

Spec: org.freedesktop.systemd1(5) "StartTransientUnit()"; systemd, "Control Group APIs and Delegation".
"""

from __future__ import annotations

import os
import socket
import time

from moorage.cgroups import dbus_codec, files
from moorage.cgroups.errors import CgroupError
from moorage.cgroups.resources_v2 import swap_alone, weight_of_shares
from moorage.cgroups.systemd_paths import DEFAULT_SLICE
from moorage.cgroups.v2 import V2Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final, Self

    from typing_extensions import override

    from moorage.cgroups.paths import Hierarchy
    from moorage.cgroups.systemd_paths import UnitPath

    Property = tuple[str, tuple[str, Any]]
else:
    # typing's own is not for processes that start fast.
    def override(method):  # noqa: ANN001, ANN201, D103
        return method


RUNNING_MARK: Final = "/run/systemd/system"
# systemd's own socket needs no message bus; the bus is for hosts that hide it.
_SOCKETS: Final = ("/run/systemd/private", "/run/dbus/system_bus_socket")
_MANAGER: Final = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_BUS: Final = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello")
_GET: Final = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.DBus.Properties", "Get")
_INFINITY: Final = (1 << 64) - 1
_SECOND: Final = 1_000_000
# systemd keeps whole percents of a processor: rounding up never starves the container.
_PERCENT: Final = 10_000
_TIMEOUT: Final = 10.0
# A systemd that shuts everything down has other things to do first.
_BUSY_TIMEOUT: Final = 45.0
_EXISTS: Final = "org.freedesktop.systemd1.UnitExists"
_NO_UNIT: Final = "org.freedesktop.systemd1.NoSuchUnit"


class SystemdError(CgroupError):
    """systemd refused a request or can't be reached."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"systemd: {message} ({name})")
        self.name = name


class Connection:
    """A D-Bus connection to systemd; use it in a `with`.

    Args:
        timeout: Seconds that an answer may take.
    """

    __slots__ = ("_received", "_serial", "_socket")

    def __init__(self, *, timeout: float = _TIMEOUT) -> None:
        self._received = bytearray()
        self._serial = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(timeout)

    def __enter__(self) -> Self:
        """Connect and authenticate as the process's user."""
        try:
            private = self._connect()
            self._authenticate()
            if not private:
                self.call(_BUS)
        except OSError as error:
            self._socket.close()
            raise SystemdError("unreachable", f"no greeting was answered: {error}") from error
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _connect(self) -> bool:
        for path in _SOCKETS:
            try:
                self._socket.connect(path)
            except OSError:
                continue
            return path == _SOCKETS[0]
        raise SystemdError("unreachable", f"nothing answers at {' or '.join(_SOCKETS)}")

    def _authenticate(self) -> None:
        # BEGIN goes along, before the answer: systemd doesn't look at what it reads together with BEGIN until more
        # arrives. A busy one would find the first call there, and both sides would wait for each other.
        self._socket.sendall(b"\0AUTH EXTERNAL %s\r\nBEGIN\r\n" % str(os.geteuid()).encode().hex().encode())
        line = b""
        while not line.endswith(b"\r\n"):
            byte = self._socket.recv(1)
            line += byte
            if not byte or (line.endswith(b"\r\n") and not line.startswith(b"OK")):
                raise SystemdError("refused", f"authentication failed: {line.decode(errors='replace').strip()}")

    def call(self, target: tuple[str, str, str, str], signature: str = "", values: Any = ()) -> list[Any]:
        """Call a method and return what it returned.

        Raises:
            SystemdError: It failed, or no answer came in time.
        """
        self._serial += 1
        try:
            self._socket.sendall(dbus_codec.method_call(self._serial, target, signature, values))
            return self._answer()
        except OSError as error:
            raise SystemdError("unreachable", f"{target[3]} was not answered: {error}") from error

    def _answer(self) -> list[Any]:
        while True:
            message = dbus_codec.take_message(self._received)
            if message is None:
                received = self._socket.recv(1 << 16)
                if not received:
                    raise SystemdError("unreachable", "the connection was closed")
                self._received += received
            elif message.reply_to == self._serial:
                if message.kind == dbus_codec.ERROR:
                    raise SystemdError(message.error, str(message.body[0]) if message.body else "request failed")
                return message.body


def is_running() -> bool:
    """Tell whether systemd manages this host."""
    return files.exists(RUNNING_MARK)


def host_is_going_down() -> bool:
    """Tell whether systemd shuts the host down or reboots it now; False where there is no systemd.

    Raises:
        SystemdError: It does not say.
    """
    if not is_running():
        return False
    with Connection(timeout=_BUSY_TIMEOUT) as systemd:
        ((_, state),) = systemd.call(_GET, "ss", (_MANAGER[2], "SystemState"))
    return bool(state == "stopping")


def service_of(cgroup: str) -> str:
    """Return the service ("moord.service") that a process in a cgroup belongs to, "" for none."""
    return next((part for part in reversed(cgroup.split("/")) if part.endswith(".service")), "")


def properties(resources: Mapping[str, Any]) -> list[Property]:
    """Return a scope's properties for a `linux.resources` object: what systemd has words for."""
    memory, cpu = resources.get("memory") or {}, resources.get("cpu") or {}
    limit = memory.get("limit") or 0
    swap = swap_alone(limit=limit, swap=memory.get("swap") or 0)
    values = {
        "MemoryMax": _number(limit),
        "MemoryLow": _number(memory.get("reservation") or 0),
        "MemorySwapMax": None if not swap else _INFINITY if swap == "max" else int(swap),
        "CPUWeight": weight_of_shares(cpu["shares"]) if cpu.get("shares") and not cpu.get("idle") else None,
        "CPUQuotaPerSecUSec": _quota(cpu.get("quota") or 0, cpu.get("period") or 100_000),
        "CPUQuotaPeriodUSec": cpu.get("period") or None,
        "TasksMax": _tasks(resources.get("pids") or {}),
    }
    return [(name, ("t", value)) for name, value in values.items() if value is not None]


def _number(limit: int) -> int | None:
    return None if not limit else _INFINITY if limit < 0 else limit


def _quota(quota: int, period: int) -> int | None:
    if quota <= 0:
        return _INFINITY if quota else None
    return -(-quota * _SECOND // period // _PERCENT) * _PERCENT


def _tasks(pids: Mapping[str, Any]) -> int | None:
    limit = pids.get("limit")
    return None if limit is None else _INFINITY if limit <= 0 else limit


class SystemdGroup(V2Group):
    """A cgroup that systemd makes when the first process joins: a scope can't be empty."""

    __slots__ = ("_resources", "_service", "_unit")

    def __init__(self, unit: UnitPath, *, hierarchy: Hierarchy) -> None:
        super().__init__(unit.path(), hierarchy=hierarchy)
        self._unit = unit
        self._service = service_of(hierarchy.own) if unit.slice != DEFAULT_SLICE else ""
        self._resources: list[Mapping[str, Any]] = []

    @override
    def create(self) -> None:
        """Do nothing yet: the scope begins with its first process."""

    @override
    def open_fd(self) -> int:
        """Return the fd of `V2Group.open_fd`, -1 before the scope exists."""
        return super().open_fd() if self.exists() else -1

    @override
    def apply(self, resources: Mapping[str, Any]) -> None:
        """Set the values of a `linux.resources` object, or keep them for the start of the scope.

        Raises:
            CgroupError: A value can't be set; the message names it.
        """
        if not self.exists():
            self._resources.append(resources)
            return
        if changed := properties(resources):
            with Connection() as systemd:
                systemd.call((*_MANAGER, "SetUnitProperties"), "sba(sv)", (self._unit.unit, True, changed))
        super().apply(resources)

    @override
    def add(self, pid: int) -> None:
        """Move a process into the scope, which the first one starts.

        Raises:
            ProcessLookupError: There is no such process any more.
            SystemdError: systemd can't be reached or refused.
        """
        if self.exists():
            super().add(pid)
            return
        self._start(pid)
        kept, self._resources = self._resources, []
        for resources in kept:
            super().apply(resources)

    def _start(self, pid: int) -> None:
        values: list[Property] = [
            ("Description", ("s", f"moorage container {self._unit.unit}")),
            ("Slice", ("s", self._unit.slice)),
            ("PIDs", ("au", [pid])),
            ("Delegate", ("b", True)),
            ("DefaultDependencies", ("b", False)),
            ("CollectMode", ("s", "inactive-or-failed")),
        ]
        if self._service:
            # Units end in the reverse order. A slice that somebody named (system.slice is never stopped) goes
            # down with the host and takes its scopes along: not before the daemon stopped them by their own signals.
            values.append(("Before", ("as", [self._service])))
        for resources in self._resources:
            values += properties(resources)
        arguments: tuple[Any, ...] = (self._unit.unit, "replace", values, [])
        with Connection() as systemd:
            try:
                systemd.call((*_MANAGER, "StartTransientUnit"), "ssa(sv)a(sa(sv))", arguments)
            except SystemdError as error:
                if error.name != _EXISTS:
                    raise
                # Left failed by a container of the same name that nobody cleaned up.
                systemd.call((*_MANAGER, "ResetFailedUnit"), "s", (self._unit.unit,))
                systemd.call((*_MANAGER, "StartTransientUnit"), "ssa(sv)a(sa(sv))", arguments)
        self._wait_for_member(pid)

    def _wait_for_member(self, pid: int) -> None:
        # The answer only says that a job was queued.
        deadline = time.monotonic() + _TIMEOUT
        pause = 0.001
        while pid not in files.processes(self.directory):
            os.kill(pid, 0)
            if time.monotonic() > deadline:
                raise SystemdError("timeout", f"{self._unit.unit} did not start in {_TIMEOUT:g} seconds")
            time.sleep(pause)
            pause = min(pause * 2, 0.02)

    @override
    def delete(self, *, patience: float = 0.1) -> bool:
        """Have systemd stop the scope; tell whether its cgroup is gone.

        Args:
            patience: Seconds to wait for that.
        """
        if self.exists():
            with Connection() as systemd:
                try:
                    systemd.call((*_MANAGER, "StopUnit"), "ss", (self._unit.unit, "replace"))
                except SystemdError as error:
                    if error.name != _NO_UNIT:
                        raise
        return super().delete(patience=patience)
