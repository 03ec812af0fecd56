"""Tell systemd, or who else started the daemon, when it serves.

Spec: sd_notify(3), "Notes": the protocol is a datagram to the socket that `NOTIFY_SOCKET` names.
"""

import contextlib
import os
import socket
from typing import Final

_VARIABLE: Final = "NOTIFY_SOCKET"

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"


class Notification:
    """The way to who started the daemon, if they want to know."""

    def __init__(self) -> None:
        # Taken away: no program that the daemon starts is to speak in its name.
        self._address = os.environ.pop(_VARIABLE, "")

    def tell(self, state: str) -> None:
        """Send a state. That nobody listens is no reason not to serve."""
        if not self._address:
            return
        # A leading @ stands for the zero byte of an abstract name.
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0)
            sock.sendto(state.encode(), address)
