"""The program of a container: finding it as the container would, and becoming it.

The texts are part of the Engine API: the docker CLI derives its exit code from them.
"""

from __future__ import annotations

import ctypes
import os
import stat

from moorage.kernel.libc import locked_libc
from moorage.runtime.errors import StartError

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH116

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

NOT_FOUND = 127
NOT_EXECUTABLE = 126
# What runc ends with then.
_NO_PROGRAM = 255

locked_libc.execve.argtypes = (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p)
locked_libc.execve.restype = ctypes.c_int


class Program:
    """A program with its arguments and environment, laid out as execve(2) reads them.

    Made beforehand: once a seccomp filter is loaded, allocating memory for it might be a
    forbidden system call.
    """

    __slots__ = ("_arguments", "_environment", "_path")

    def __init__(self, path: str, *, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._path = os.fsencode(path)
        self._arguments = _vector([os.fsencode(argument) for argument in arguments])
        self._environment = _vector([os.fsencode(f"{name}={value}") for name, value in environment.items()])

    def execute(self) -> None:
        """Become the program; returns only if that failed, and errno says why."""
        # With the interpreter's lock held: releasing it could be a futex call.
        locked_libc.execve(self._path, self._arguments, self._environment)

    def fail(self) -> NoReturn:
        """Say on standard error why `execute` returned, and end.

        The start is over by then: whoever started this process was told that it runs, and
        reads in its output that the program has no interpreter, or is for another machine.
        """
        try:
            reason = os.strerror(ctypes.get_errno()).lower()
            os.write(2, b"exec %b: %b\n" % (self._path, reason.encode()))
        finally:
            os._exit(_NO_PROGRAM)


def _vector(strings: Sequence[bytes]) -> Any:
    return (ctypes.c_char_p * (len(strings) + 1))(*strings, None)


def parse_environment(variables: Sequence[str]) -> dict[str, str]:
    """Return NAME=value strings as a mapping; the last of a name wins."""
    pairs = (variable.partition("=") for variable in variables)
    return {name: value for name, separator, value in pairs if separator and name}


def find_program(name: str, *, search_path: str) -> str:
    """Return the path of a program, resolved in the caller's root and working directory.

    Raises:
        StartError: There is none, or the caller may not execute it.
    """
    if "/" in name:
        _check_executable(name, name)
        return name
    denied: StartError | None = None
    for directory in search_path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        try:
            _check_executable(name, candidate)
        except StartError as error:
            if error.exit_code == NOT_EXECUTABLE and "permission denied" in error.message:
                denied = error
            continue
        return candidate
    raise denied or StartError(f'exec: "{name}": executable file not found in $PATH', NOT_FOUND)


def _check_executable(name: str, candidate: str) -> None:
    try:
        mode = os.stat(candidate).st_mode
    except PermissionError as error:
        raise StartError(f'exec: "{name}": permission denied', NOT_EXECUTABLE) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StartError(f'exec: "{name}": stat {candidate}: {reason}', NOT_FOUND) from error
    if stat.S_ISDIR(mode):
        raise StartError(f'exec: "{name}": is a directory', NOT_EXECUTABLE)
    if not mode & 0o111 or not os.access(candidate, os.X_OK):
        raise StartError(f'exec: "{name}": permission denied', NOT_EXECUTABLE)
