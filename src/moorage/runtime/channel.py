"""What a starting child and its parent say to each other.

Small messages over a SOCK_SEQPACKET pair, close-on-exec on both ends: the end of file
that the parent meets after START says that the program took over.
"""

from __future__ import annotations

import array
import enum
import json
import os
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from moorage.runtime.filters import SystemCallFilter

_LARGEST = 1 << 17
_MAX_FDS = 4


class Message(enum.IntEnum):
    """The kinds of message."""

    # Parent to child.
    MAPPED = 1  # the ID maps of the new user namespace are written
    CGROUPS_MADE = 2  # the container's cgroup directories exist
    ATTACHED = 3  # the child is in them
    GO = 4  # interfaces are in place
    HOOKS_RUN = 5  # createRuntime hooks succeeded
    START = 6
    # Child to parent.
    CLONED = 16  # a stage made the real child; payload: its pid
    HOOKS = 17  # ready for the hooks that run outside
    WARNING = 18  # payload: text
    READY = 19  # only START is missing; descriptor: the terminal's master
    FAILED = 20  # payload: message and exit code


class Channel:
    """One end of the conversation; owns its socket."""

    __slots__ = ("socket",)

    def __init__(self, end: socket.socket) -> None:
        self.socket = end

    def send(self, kind: Message, payload: Any = None, *, fds: Sequence[int] = ()) -> None:
        """Send one message.

        Raises:
            BrokenPipeError: The other side is gone.
        """
        text = json.dumps(payload).encode() if payload is not None else b""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([bytes((kind,)), text], rights, socket.MSG_NOSIGNAL)

    def receive(self) -> tuple[Message, Any, list[int]]:
        """Wait for one message; return (kind, payload, descriptors), the latter close-on-exec.

        Raises:
            EOFError: The other side is gone.
        """
        try:
            data, ancillary = self._receive()
        except ConnectionResetError:
            # Told once, when the other side went without having read everything; what
            # it had said before is still to be read.
            data, ancillary = self._receive()
        if not data:
            raise EOFError("the other side closed the channel")
        fds = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
        return Message(data[0]), json.loads(data[1:]) if len(data) > 1 else None, list(fds)

    def _receive(self) -> tuple[bytes, list[tuple[int, int, bytes]]]:
        # Not socket.recv_fds: it drops the flag, and a program would inherit the descriptors.
        space = socket.CMSG_SPACE(4 * _MAX_FDS)
        data, ancillary, _, _ = self.socket.recvmsg(_LARGEST, space, socket.MSG_CMSG_CLOEXEC)
        return data, ancillary

    def send_with_filter(self, kind: Message, payload: dict[str, Any], system_calls: SystemCallFilter | None) -> None:
        """Send a message that carries a system call filter beside its payload; close the filter's connection."""
        if system_calls is None:
            self.send(kind, payload)
            return
        listener_fd = system_calls.listener_fd
        fds = [listener_fd] if listener_fd >= 0 else []
        self.send(kind, {**payload, "filter": system_calls.to_message()}, fds=fds)
        for fd in fds:
            os.close(fd)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def channel_pair() -> tuple[Channel, Channel]:
    """Return the parent's end and the child's."""
    parent, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    return Channel(parent), Channel(child)
