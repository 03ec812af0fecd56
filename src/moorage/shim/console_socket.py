"""The socket over which a runtime's program hands out a terminal's master (runc's --console-socket)."""

from __future__ import annotations

import contextlib
import os
import socket
import struct

from moorage.api.shim import ANCILLARY_SPACE, MSG_CMSG_CLOEXEC, SCM_RIGHTS
from moorage.runtime.errors import StartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_PATIENCE = 10.0
"""Seconds; the program has ended when the master is asked for, so it is there or never comes."""


class ConsoleSocket:
    """A listening socket in a directory, for one terminal.

    Attributes:
        path: What the program is given; short enough wherever the directory is.
    """

    __slots__ = ("_directory_fd", "_listener", "_name", "path")

    def __init__(self, directory: str) -> None:
        self._name = f"{directory}/console.sock"
        self._directory_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.path = f"/proc/{os.getpid()}/fd/{self._directory_fd}/console.sock"

    def __enter__(self) -> Self:
        self._remove()
        self._listener.bind(f"/proc/self/fd/{self._directory_fd}/console.sock")
        self._listener.listen(1)
        return self

    def __exit__(self, *_failure: object) -> None:
        self._listener.close()
        os.close(self._directory_fd)
        self._remove()

    def receive(self) -> int:
        """Return the master.

        Raises:
            StartError: None was sent.
        """
        self._listener.settimeout(_PATIENCE)
        try:
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(_PATIENCE)
                _, ancillary, _, _ = connection.recvmsg(4096, ANCILLARY_SPACE, MSG_CMSG_CLOEXEC)
        except OSError as error:
            raise StartError(f"the runtime sent no terminal: {error}") from error
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == SCM_RIGHTS:
                return int(struct.unpack_from("i", data)[0])
        raise StartError("the runtime sent no terminal")

    def _remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._name)  # noqa: PTH108 - pathlib is too slow to import here
