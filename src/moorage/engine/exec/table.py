"""The added processes that can be asked for.

One that ended is kept for some minutes, so that its exit code can be read. What `ExecFiles`
notes of them lets the next daemon find them again.
"""

import asyncio
import socket
import time
from dataclasses import dataclass, field, replace
from typing import Any, Final

from moorage.engine.exec.files import ExecEnd, ExecFiles, ExecRequest
from moorage.errors import NotFoundError

_KEPT_SECONDS: Final = 300.0
_KILLED: Final = 137


class ExecNotFoundError(NotFoundError):
    """No added process has this ID."""

    def __init__(self, exec_id: str) -> None:
        super().__init__(f"No such exec instance: {exec_id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRecord:
    """One added process; a change is a new record.

    Attributes:
        pid: As the host counts; kept after its end, as Docker does.
        exit_code: None while it runs or waits to be started.
        ended_at: `time.monotonic()` of its end.
        settled: Set once it runs, or cannot.
    """

    request: ExecRequest
    running: bool = False
    pid: int = 0
    exit_code: int | None = None
    ended_at: float = 0.0
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def id(self) -> str:
        """What clients name it by."""
        return self.request.id

    @property
    def container_id(self) -> str:
        """The container it runs in."""
        return self.request.container_id


class ExecTable:
    """Added processes by ID."""

    def __init__(self, files: ExecFiles) -> None:
        self._files = files
        self._records: dict[str, ExecRecord] = {}
        self._clients: dict[str, socket.socket] = {}

    def add(self, record: ExecRecord, *, kept: bool = True) -> None:
        """Enter a new one, and forget those that ended long ago.

        Args:
            kept: Whether the next daemon is to know of it.

        Raises:
            OSError: It cannot be noted for the next daemon.
        """
        self._forget_stale()
        if kept:
            self._files.create(record.request)
        self._records[record.id] = record

    def restore(self, record: ExecRecord, **changes: Any) -> None:
        """Enter one that an earlier daemon knew of."""
        record = replace(record, **changes)
        if record.running or record.exit_code is not None:
            record.settled.set()
        self._records[record.id] = record
        self._forget_stale()

    def _forget_stale(self) -> None:
        horizon = time.monotonic() - _KEPT_SECONDS
        stale = [each for each in self._records.values() if each.exit_code is not None and each.ended_at < horizon]
        for each in stale:
            del self._records[each.id]
            self._files.forget(each.container_id, each.id)

    def get(self, exec_id: str) -> ExecRecord:
        """Return one.

        Raises:
            ExecNotFoundError: It never was, or ended minutes ago.
        """
        if (record := self._records.get(exec_id)) is None:
            raise ExecNotFoundError(exec_id)
        return record

    def find(self, exec_id: str) -> ExecRecord | None:
        """Return one, None if it is forgotten."""
        return self._records.get(exec_id)

    def hold_client(self, exec_id: str, connection: socket.socket) -> None:
        """Keep a copy of the connection of a client until the end of its process is recorded.

        A client that sees its stream end asks at once how the process ended: it must not see
        that before anybody knows, though the part of the shim that served it be killed.
        """
        if exec_id in self._records and self._records[exec_id].exit_code is None:
            self._clients[exec_id] = connection.dup()

    def let_client_go(self, exec_id: str) -> None:
        """Close that copy, if there is one."""
        if (connection := self._clients.pop(exec_id, None)) is not None:
            connection.close()

    def change(self, exec_id: str, **changes: Any) -> ExecRecord | None:
        """Replace fields of one; None if it is forgotten."""
        if (record := self._records.get(exec_id)) is None:
            return None
        record = replace(record, **changes)
        self._records[exec_id] = record
        return record

    def end(self, exec_id: str, exit_code: int) -> ExecRecord | None:
        """Record how one ended; None if it is forgotten."""
        record = self.change(exec_id, running=False, exit_code=exit_code, ended_at=time.monotonic())
        if record is not None:
            end = ExecEnd(exit_code=exit_code, pid=record.pid, ended_at=record.ended_at)
            self._files.end(record.container_id, exec_id, end)
            record.settled.set()
        self.let_client_go(exec_id)
        return record

    def running(self, container_id: str) -> list[str]:
        """Return the IDs of a container's processes that were started and have not ended."""
        return [each for each in self.unfinished(container_id) if self._records[each].pid]

    def unfinished(self, container_id: str) -> list[str]:
        """Return the IDs of a container's processes that have not ended."""
        return [
            record.id
            for record in self._records.values()
            if record.container_id == container_id and record.exit_code is None
        ]

    def end_all(self, container_id: str) -> None:
        """The container stopped, and so did all its processes; what was not started never will be."""
        for exec_id in self.unfinished(container_id):
            if self._records[exec_id].running:
                self.end(exec_id, _KILLED)
            else:
                self._records.pop(exec_id).settled.set()

    def forget_all(self, container_id: str) -> None:
        """The container is gone."""
        for record in tuple(self._records.values()):
            if record.container_id == container_id:
                del self._records[record.id]
                self.let_client_go(record.id)
