"""The system call filter of a container: compiled in the parent, loaded by the program-to-be.

Spec: runtime-spec, config-linux.md "Seccomp", "The Container Process State".
"""

from __future__ import annotations

import array
import json
import os
import socket

from moorage.kernel import seccomp
from moorage.runtime.errors import StartError, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class SystemCallFilter:
    """A compiled profile, and where to announce it if somebody else decides about calls."""

    __slots__ = ("_bpf", "_flags", "_listener", "_metadata")

    def __init__(self, profile: Mapping[str, Any], *, cache: str) -> None:
        """Compile a profile, or take it from the cache.

        Raises:
            StartError: The profile is wrong, or nobody listens where it says.
        """
        try:
            self._flags = seccomp.filter_flags(profile)
            self._bpf = seccomp.compile_cached(profile, directory=cache)
        except seccomp.SeccompError as error:
            raise StartError(str(error)) from error
        self._metadata: str = profile.get("listenerMetadata") or ""
        self._listener: socket.socket | None = None
        if seccomp.uses_notify(profile):
            self._listener = _connect(profile.get("listenerPath") or "")

    def load(self, state: Mapping[str, Any]) -> None:
        """Put the filter on the caller.

        Args:
            state: The container's state, for the listener.

        Raises:
            StartError: The kernel refuses the filter.
        """
        try:
            listener_fd = seccomp.load(self._bpf, self._flags)
        except OSError as error:
            raise StartError(f"unable to load the seccomp filter: {describe(error)}") from error
        if self._listener is not None:
            self._announce(listener_fd, state)

    def close(self) -> None:
        """Close the connection to the listener; what it was told stays true."""
        if self._listener is not None:
            self._listener.close()

    def _announce(self, listener_fd: int, state: Mapping[str, Any]) -> None:
        if self._listener is None:
            return
        message = {
            "ociVersion": state["ociVersion"],
            "fds": ["seccompFd"],
            "pid": state["pid"],
            "metadata": self._metadata,
            "state": state,
        }
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener_fd]))]
        self._listener.sendmsg([json.dumps(message).encode()], rights)
        self._listener.close()
        os.close(listener_fd)


def _connect(path: str) -> socket.socket:
    if not path:
        raise StartError("seccomp: SCMP_ACT_NOTIFY needs a listenerPath")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.connect(path)
    except OSError as error:
        listener.close()
        raise StartError(f"seccomp: nobody listens at {path}: {describe(error)}") from error
    return listener
