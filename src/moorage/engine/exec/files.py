"""Added processes as files in their container's bundle.

So a daemon that is killed finds them again. They are as short-lived as the bundle, which ends
with the container and with the host: a tmpfs, written in microseconds, never synced.

| file          | there                                                                   |
|---------------|-------------------------------------------------------------------------|
| `ID.exec`     | from the creation on: what the request said                             |
| `ID.json`     | while it runs: the runtime-spec's process                               |
| `ID.json.exit`| if it ended and no daemon took note within a second: the shim's note    |
| `ID.done`     | once a daemon has recorded its end                                      |
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from moorage.api.shim import EXEC_EXIT_SUFFIX
from moorage.engine.containers.paths import ContainerPaths

_REQUEST: Final = ".exec"
_PROCESS: Final = ".json"
_DONE: Final = ".done"
_SUFFIXES: Final = (_REQUEST, _PROCESS, _PROCESS + EXEC_EXIT_SUFFIX, _DONE)


class ExecRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for when a process was created.

    Attributes:
        id: 64 lower-case hex digits.
        user: Empty for the container's own.
        env: What is added, as `NAME=value`.
        detach_keys: Bytes of the sequence that lets the client go.
        console_size: Rows and columns, if the client said.
    """

    id: str
    container_id: str
    command: tuple[str, ...]
    user: str = ""
    working_dir: str = ""
    env: tuple[str, ...] = ()
    tty: bool = False
    privileged: bool = False
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    detach_keys: tuple[int, ...] = ()
    console_size: tuple[int, int] | None = None


class ExecEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a process ended, as a daemon recorded it; `ended_at` is `time.monotonic()`."""

    exit_code: int
    pid: int = 0
    ended_at: float = 0.0


@dataclass(frozen=True, slots=True)
class ExecFiles:
    """The files of the added processes of all containers."""

    paths: ContainerPaths

    def create(self, request: ExecRequest) -> None:
        """Note what is to be run.

        Raises:
            OSError: The container's bundle is gone, or the disk is full.
        """
        directory = self._directory(request.container_id)
        directory.mkdir(exist_ok=True, mode=0o700)
        (directory / f"{request.id}{_REQUEST}").write_bytes(msgspec.json.encode(request))

    def write_process(self, container_id: str, exec_id: str, process: dict[str, Any]) -> str:
        """Write what the shim runs, and return the path."""
        directory = self._directory(container_id)
        directory.mkdir(exist_ok=True, mode=0o700)
        path = directory / f"{exec_id}{_PROCESS}"
        path.write_bytes(msgspec.json.encode(process))
        return str(path)

    def end(self, container_id: str, exec_id: str, end: ExecEnd) -> None:
        """Note the end of a process that a client created; a bundle that is gone needs no notes."""
        directory = self._directory(container_id)
        with contextlib.suppress(OSError):
            if (directory / f"{exec_id}{_REQUEST}").exists():
                (directory / f"{exec_id}{_DONE}").write_bytes(msgspec.json.encode(end))
            (directory / f"{exec_id}{_PROCESS}").unlink(missing_ok=True)

    def forget(self, container_id: str, exec_id: str) -> None:
        """Remove every file of a process."""
        directory = self._directory(container_id)
        for suffix in _SUFFIXES:
            with contextlib.suppress(OSError):
                (directory / f"{exec_id}{suffix}").unlink(missing_ok=True)

    def known(self, container_id: str) -> set[str]:
        """Return the IDs of all processes that have files."""
        try:
            return {entry.name.partition(".")[0] for entry in self._directory(container_id).iterdir()}
        except FileNotFoundError:
            return set()

    def requests(self, container_id: str) -> Iterator[ExecRequest]:
        """Yield what was asked for, but for notes that a crash has cut."""
        for exec_id in self.known(container_id):
            if (request := self._read(container_id, exec_id + _REQUEST, ExecRequest)) is not None:
                yield request

    def recorded_end(self, container_id: str, exec_id: str) -> ExecEnd | None:
        """Return the end that a daemon recorded."""
        end: ExecEnd | None = self._read(container_id, exec_id + _DONE, ExecEnd)
        return end

    def unrecorded_end(self, container_id: str, exec_id: str) -> int | None:
        """Return the exit code that the shim noted because there was no daemon."""
        end: ExecEnd | None = self._read(container_id, exec_id + _PROCESS + EXEC_EXIT_SUFFIX, ExecEnd)
        return None if end is None else end.exit_code

    def was_started(self, container_id: str, exec_id: str) -> bool:
        """Tell whether a process without a recorded end was started."""
        return (self._directory(container_id) / f"{exec_id}{_PROCESS}").exists()

    def _directory(self, container_id: str) -> Path:
        return self.paths.bundle(container_id) / "exec"

    def _read(self, container_id: str, name: str, kind: type[Any]) -> Any:
        try:
            return msgspec.json.decode((self._directory(container_id) / name).read_bytes(), type=kind)
        except (OSError, msgspec.MsgspecError):
            return None
