"""Running a foreign runtime's program, and understanding why it failed."""

from __future__ import annotations

import json
import os
import re
import signal

from moorage.kernel.signals import IGNORED_AT_START
from moorage.runtime.errors import StartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_CRUN_NOT_FOUND = re.compile(r"executable file `(.*)` not found in \$PATH(: No such file or directory)?")
_NOT_FOUND = ("executable file not found", "no such file or directory")
_NOT_EXECUTABLE = ("permission denied", "is a directory")


class CommandLine:
    """One runtime's program with its global options.

    Args:
        log_path: Where the program writes what went wrong; emptied before each command.
    """

    __slots__ = ("_arguments", "_log_path", "_path")

    def __init__(self, path: str, *, arguments: Sequence[str], log_path: str) -> None:
        self._path = path
        self._log_path = log_path
        self._arguments = (path, *arguments, "--log", log_path, "--log-format", "json")

    def run(self, *words: str, stdio: Sequence[int] = ()) -> None:
        """Run a sub-command to its end.

        Args:
            stdio: Its standard streams, which `create` and `exec` hand on to the container;
                without them it has none.

        Raises:
            StartError: It cannot be run, or it failed.
        """
        with open(self._log_path, "wb"):  # noqa: PTH123 - pathlib is too slow to import here
            pass
        null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            streams = enumerate(stdio or (null_fd, null_fd, null_fd))
            pid = os.posix_spawnp(
                self._path,
                (*self._arguments, *words),
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in streams],
                setsigdef=[*IGNORED_AT_START, signal.SIGCHLD],
                setsigmask=[],
            )
        except OSError as error:
            raise StartError(f"fork/exec {self._path}: {(error.strerror or str(error)).lower()}") from error
        finally:
            os.close(null_fd)
        _, status = os.waitpid(pid, 0)
        if status:
            message = last_error(self._read_log()) or f"{self._path} {words[0]} failed without a message"
            raise StartError(message, exit_code_of(message))

    def _read_log(self) -> bytes:
        with open(self._log_path, "rb") as file:  # noqa: PTH123 - pathlib is too slow to import here
            return file.read()


def last_error(log: bytes) -> str:
    """Return the innermost text of the last error in a runtime's log of JSON lines; "" without any."""
    message = ""
    for line in log.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") in {"error", "fatal", None}:
            message = str(entry.get("msg") or "")
    # runc: `runc create failed: unable to start container process: exec: "x": ...`
    _, found, innermost = message.rpartition("unable to start container process: ")
    message = innermost if found else message
    # Clients take the exit code from runc's words.
    return _CRUN_NOT_FOUND.sub(r'exec: "\1": executable file not found in $PATH', message)


def exit_code_of(message: str) -> int:
    """Return what a shell would say about a program that could not be run."""
    lowered = message.lower()
    if "exec" in lowered and any(text in lowered for text in _NOT_FOUND):
        return 127
    if "exec" in lowered and any(text in lowered for text in _NOT_EXECUTABLE):
        return 126
    return 128
