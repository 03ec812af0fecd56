"""Start an added process, and join its client to it.

Spec: Engine API, POST /exec/{id}/start.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from moorage import faults
from moorage.engine.bundles.capabilities import effective_capabilities
from moorage.engine.bundles.merging import merge_environment
from moorage.engine.bundles.spec import environment
from moorage.engine.bundles.writing import CONFIG_FILE
from moorage.engine.containers.attaching import attach_message
from moorage.engine.containers.bundling import Bundler
from moorage.engine.containers.errors import ContainerStateError, StartFailedError, StartRefusedError, start_error
from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.tasks import LaunchFailedError, Tasks
from moorage.engine.exec.creating import check_active, publish
from moorage.engine.exec.files import ExecFiles
from moorage.engine.exec.table import ExecRecord, ExecTable
from moorage.engine.jobs import Jobs
from moorage.errors import MoorageError

# The words that runc and Docker put before the cause; see the same in a container's start.
_TROUBLE = "OCI runtime exec failed: exec failed: "
_LATE_TROUBLE = "unable to start container process: "
_NOT_EXECUTABLE = 126


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecStarter:
    """Starts added processes."""

    registry: ContainerRegistry
    table: ExecTable
    tasks: Tasks
    bundler: Bundler
    paths: ContainerPaths
    files: ExecFiles
    events: EventPublisher
    jobs: Jobs
    expect_move: Callable[[], None]

    def prepare(self, exec_id: str) -> ExecRecord:
        """Check that a process can be started, before its client's connection is taken over.

        Raises:
            ExecNotFoundError: It never was, or ended minutes ago.
            ConflictError: It was started before, or the container does not run.
        """
        added = self.table.get(exec_id)
        record = self.registry.get(added.container_id)
        check_active(record, record.id)
        if added.exit_code is not None:
            raise ContainerStateError(f"exec command {exec_id} has already run")
        if added.running:
            raise ContainerStateError(f"exec command {exec_id} is already running")
        return added

    async def start_detached(self, added: ExecRecord, *, console_size: tuple[int, int] | None = None) -> None:
        """Start a process that nobody listens to; it is started although the client leaves.

        Raises:
            StartRefusedError: Its program cannot be run.
        """
        start = self._start(added, attach=None, fds=(), console_size=console_size)
        await asyncio.shield(self.jobs.start(start))

    async def start_attached(
        self,
        added: ExecRecord,
        connection: socket.socket,
        *,
        multiplexed: bool,
        leftover: bytes = b"",
        console_size: tuple[int, int] | None = None,
    ) -> None:
        """Start a process and join a connection, which is owned here now, to its streams.

        A failure is told in the stream, because the answer's head has been sent.
        """
        with connection:
            try:
                await self._join(added, connection, multiplexed=multiplexed, leftover=leftover, size=console_size)
            except MoorageError as error:
                await _tell(connection, f"{error}\r\n".encode(), multiplexed=multiplexed)
                with contextlib.suppress(OSError):
                    # A shim that is stopped may have a copy waiting in its socket.
                    connection.shutdown(socket.SHUT_WR)

    async def join(self, added: ExecRecord, connection: socket.socket, *, multiplexed: bool) -> None:
        """Start a process and join a connection, which is owned here now, to its streams.

        Raises:
            StartRefusedError: Its program cannot be run.
        """
        with connection:
            await self._join(added, connection, multiplexed=multiplexed)

    async def _join(
        self,
        added: ExecRecord,
        connection: socket.socket,
        *,
        multiplexed: bool,
        leftover: bytes = b"",
        size: tuple[int, int] | None = None,
    ) -> None:
        attach = attach_message(
            streams=(added.request.stdin, added.request.stdout, added.request.stderr),
            multiplex=multiplexed,
            detach_keys=added.request.detach_keys,
            leftover=leftover,
        )
        await self._start(added, attach=attach, fds=(connection.fileno(),), console_size=size)
        self.table.hold_client(added.id, connection)

    async def _start(
        self,
        added: ExecRecord,
        *,
        attach: dict[str, object] | None,
        fds: tuple[int, ...],
        console_size: tuple[int, int] | None,
    ) -> None:
        # Another client may have been quicker since this one was let through.
        self.prepare(added.id)
        self.expect_move()
        record = self.registry.get(added.container_id)
        self.table.change(added.id, running=True)
        publish(self.events, record, "exec_start", added)
        try:
            request = {
                "id": added.id,
                "process_file": self.files.write_process(record.id, added.id, self._process(record, added)),
                "terminal": added.request.tty,
                "stdin": added.request.stdin,
                "attach": attach,
                "console_size": list(size) if (size := console_size or added.request.console_size) else None,
            }
            faults.point("exec:described")
            pid = await self.tasks.get(record.id).exec(request, fds=fds)
            faults.point("exec:started")
        except LaunchFailedError as error:
            failure = start_error(_TROUBLE + _LATE_TROUBLE, str(error))
            self.table.end(added.id, failure.exit_code)
            raise failure from error
        except (StartRefusedError, StartFailedError) as failure:
            self.table.end(added.id, failure.exit_code)
            raise
        except BaseException:
            self.table.end(added.id, _NOT_EXECUTABLE)
            raise
        # Also one that has ended meanwhile had this ID, and inspect goes on showing it.
        self.table.change(added.id, pid=pid)
        added.settled.set()

    def _process(self, record: ContainerRecord, added: ExecRecord) -> dict[str, Any]:
        """Return the container's own process, changed by what the request says."""
        config_file = self.paths.bundle(record.id) / CONFIG_FILE
        process: dict[str, Any] = msgspec.json.decode(config_file.read_bytes())["process"]
        cwd = added.request.working_dir or record.config.working_dir or "/"
        if not cwd.startswith("/"):
            raise start_error(_TROUBLE, "Cwd must be an absolute path")
        # Without a user of its own it is who the container was started as, whatever its files say by now.
        own: dict[str, Any] = process["user"]
        user = self.bundler.user(record, added.request.user or str(own["uid"]))
        bounding = process["capabilities"]["bounding"]
        held = process["capabilities"]["effective"]
        if added.request.privileged:
            bounding = held = effective_capabilities(add=(), drop=(), privileged=True)
        # Root in a container of somebody else has what the kernel gives it as it runs its program:
        # nothing, if that may give no new privileges.
        held = held if user.uid == 0 else []
        env = environment(
            self.bundler.config(record), hostname=self.bundler.hostname(record), home=user.home, tty=added.request.tty
        )
        process.pop("consoleSize", None)
        if added.request.user:
            own = {"uid": user.uid, "gid": user.gid, "additionalGids": sorted({user.gid, *user.additional_gids})}
        return process | {
            "terminal": added.request.tty,
            "args": list(added.request.command),
            "env": merge_environment(env, added.request.env),
            "cwd": cwd,
            "user": own,
            "capabilities": {"bounding": bounding, "effective": held, "permitted": held},
        }


async def _tell(connection: socket.socket, text: bytes, *, multiplexed: bool) -> None:
    data = b"\x01\0\0\0" + len(text).to_bytes(4) + text if multiplexed else text
    with contextlib.suppress(OSError):
        await asyncio.get_running_loop().sock_sendall(connection, data)
