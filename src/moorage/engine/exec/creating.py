"""Prepare a process to be added to a running container.

Spec: Engine API, POST /containers/{id}/exec.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from moorage import faults
from moorage.api.exec import ExecCreateRequest
from moorage.engine.containers.attaching import parse_detach_keys
from moorage.engine.containers.errors import (
    NotRunningError,
    PausedError,
    RequestFailedError,
    RequestRefusedError,
    RestartingError,
)
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.exec.files import ExecRequest
from moorage.engine.exec.table import ExecRecord, ExecTable


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecCreator:
    """Prepares added processes."""

    registry: ContainerRegistry
    table: ExecTable
    events: EventPublisher
    expect_move: Callable[[], None]

    def create(self, reference: str, request: ExecCreateRequest) -> str:
        """Check a request and return the new ID; nothing runs yet.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            ConflictError: The container does not run, or is paused.
            InvalidParameterError: There is no command.
            RequestFailedError: The detach keys are none, which Docker counts as its own failure.
        """
        if not request.cmd:
            raise RequestRefusedError("No exec command specified")
        record = self.registry.resolve(reference)
        check_active(record, reference)
        self.expect_move()
        keys = _detach_keys(request.detach_keys)
        asked = ExecRequest(
            id=secrets.token_hex(32),
            container_id=record.id,
            command=tuple(request.cmd),
            user=request.user,
            working_dir=request.working_dir,
            env=tuple(request.env or ()),
            tty=request.tty,
            privileged=request.privileged,
            stdin=request.attach_stdin,
            stdout=request.attach_stdout,
            stderr=request.attach_stderr,
            detach_keys=keys,
            console_size=request.console_size,
        )
        added = ExecRecord(request=asked)
        try:
            self.table.add(added)
        except FileNotFoundError:
            # It ended this moment, and its bundle went.
            raise NotRunningError(record.id) from None
        except OSError as error:
            raise RequestFailedError(f"exec {added.id[:12]}: {error}") from error
        faults.point("exec:created")
        publish(self.events, record, "exec_create", added)
        return added.id


def _detach_keys(text: str) -> tuple[int, ...]:
    try:
        return parse_detach_keys(text)
    except RequestRefusedError as error:
        raise RequestFailedError(f"Invalid escape keys ({text}) provided") from error


def check_active(record: ContainerRecord, reference: str) -> None:
    """Check that a process can be added to a container now.

    Raises:
        ConflictError: It does not run, or is paused, or waits for its restart.
    """
    if not record.state.running:
        raise NotRunningError(record.id)
    if record.state.paused:
        raise PausedError(reference)
    if record.state.restarting:
        raise RestartingError(record.id)


def publish(events: EventPublisher, record: ContainerRecord, action: str, added: ExecRecord) -> None:
    """Publish an event whose action carries the command, as Docker's do."""
    text = f"{action}: {added.request.command[0]} {' '.join(added.request.command[1:])}"
    events.publish("container", text, record.id, record.event_attributes(execID=added.id))
