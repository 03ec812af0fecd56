"""The system call filter of a container.

Compiled by the parent while the child sets itself up, sent over, and loaded as one of the
last things before the exec.

Spec: runtime-spec, config-linux.md "Seccomp", "The Container Process State".
"""

from __future__ import annotations

import array
import json
import os
import socket

from moorage.kernel import seccomp
from moorage.runtime.errors import StartError, describe
from moorage.runtime.filter_cache import compile_cached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Final, Self

_NOTIFY: Final = "SCMP_ACT_NOTIFY"


class SystemCallFilter:
    """A compiled profile, and whom to tell if somebody else decides about calls.

    Attributes:
        listener_fd: A connection to the listener, or -1.
    """

    __slots__ = ("_bpf", "_flags", "_metadata", "listener_fd")

    def __init__(self, *, bpf: bytes, flags: int, metadata: str = "", listener_fd: int = -1) -> None:
        self._bpf = bpf
        self._flags = flags
        self._metadata = metadata
        self.listener_fd = listener_fd

    @classmethod
    def from_message(cls, payload: Mapping[str, Any] | None, fds: Sequence[int]) -> Self | None:
        """Return what `to_message` was sent for; None if there is no filter."""
        if not payload:
            return None
        return cls(
            bpf=bytes.fromhex(payload["bpf"]),
            flags=payload["flags"],
            metadata=payload["metadata"],
            listener_fd=fds[0] if fds else -1,
        )

    def to_message(self) -> dict[str, Any]:
        """Return the filter as a message's payload; the listener goes beside it."""
        return {"bpf": self._bpf.hex(), "flags": self._flags, "metadata": self._metadata}

    def load(self, state: Mapping[str, Any]) -> None:
        """Put the filter on the caller.

        Args:
            state: The container's state, for the listener.

        Raises:
            StartError: The kernel refuses the filter.
        """
        if self.listener_fd < 0:
            self._load()
            return
        # Everything is prepared before: once the filter is on, nobody answers to a call that
        # it hands over until the listener has been told.
        text = [self._message(state)]
        with socket.socket(fileno=self.listener_fd) as listener:
            notify_fd = self._load()
            listener.sendmsg(text, [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [notify_fd]))])
        os.close(notify_fd)

    def _load(self) -> int:
        try:
            return seccomp.load(self._bpf, self._flags)
        except OSError as error:
            raise StartError(f"unable to load the seccomp filter: {describe(error)}") from error

    def _message(self, state: Mapping[str, Any]) -> bytes:
        message = {
            "ociVersion": state["ociVersion"],
            "fds": ["seccompFd"],
            "pid": state["pid"],
            "metadata": self._metadata,
            "state": state,
        }
        return json.dumps(message).encode()


def compile_filter(profile: Mapping[str, Any], *, cache: str) -> SystemCallFilter | None:
    """Compile a profile, or take it from the cache; None without a profile.

    Raises:
        StartError: The profile is wrong, or nobody listens where it says.
    """
    if not profile:
        return None
    try:
        flags = seccomp.filter_flags(profile)
        bpf = compile_cached(profile, directory=cache)
    except seccomp.SeccompError as error:
        raise StartError(str(error)) from error
    if not seccomp.uses_notify(profile):
        return SystemCallFilter(bpf=bpf, flags=flags)
    _check_tellable(profile)
    listener_fd = _connect(profile.get("listenerPath") or "")
    return SystemCallFilter(
        bpf=bpf, flags=flags, metadata=profile.get("listenerMetadata") or "", listener_fd=listener_fd
    )


def _check_tellable(profile: Mapping[str, Any]) -> None:
    """Refuse a profile that hands over the very calls by which its listener is told."""
    if profile.get("defaultAction") == _NOTIFY:
        raise StartError("SCMP_ACT_NOTIFY cannot be used as default action")
    for rule in profile.get("syscalls") or ():
        if rule["action"] == _NOTIFY and "sendmsg" in rule["names"]:
            raise StartError("SCMP_ACT_NOTIFY cannot be used for the sendmsg syscall")


def _connect(path: str) -> int:
    if not path:
        raise StartError("seccomp: SCMP_ACT_NOTIFY needs a listenerPath")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
        try:
            listener.connect(path)
        except OSError as error:
            raise StartError(f"seccomp: nobody listens at {path}: {describe(error)}") from error
        return listener.detach()
