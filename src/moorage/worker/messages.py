"""One job: what it was asked, the descriptors it was given, and the socket it answers on."""

from __future__ import annotations

import os

from moorage.api.shim import frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from typing import Any

    Result = dict[str, Any]


class Call:
    """A job's request.

    Attributes:
        arguments: As the daemon sent them.
        fds: Data descriptors, in the order the job defines; closed when the job ends.
    """

    __slots__ = ("_control", "arguments", "fds")

    def __init__(self, control: socket.socket, arguments: dict[str, Any], fds: Sequence[int]) -> None:
        self._control = control
        self.arguments = arguments
        self.fds = fds

    def path(self, key: str) -> bytes:
        """Return an argument that is a path, with the bytes it had in the file system."""
        return os.fsencode(self.arguments[key])

    def announce(self, event: str, **facts: object) -> None:
        """Tell the daemon something before the result."""
        self.send({"event": event, **facts})

    def send(self, message: Result) -> None:
        """Send one message."""
        payload, ancillary = frame(message)
        self._control.sendmsg([payload], ancillary)
