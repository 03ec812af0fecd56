"""Hooks: programs of others, run in order at fixed points of a container's life.

Spec: runtime-spec, config.md "POSIX-platform Hooks"; runtime.md "State".
"""

from __future__ import annotations

import json
import os
import select
import signal

from moorage.kernel import pidfd
from moorage.runtime.errors import StartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    Hook = Mapping[str, Any]

# Python ignores these two, and a child would inherit that.
_DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)


def run_hooks(kind: str, hooks: Sequence[Hook], state: Mapping[str, Any]) -> None:
    """Run hooks one after another, the container's state on their standard input.

    Raises:
        StartError: One failed or took too long; those after it did not run.
    """
    text = json.dumps(state).encode()
    for number, hook in enumerate(hooks):
        try:
            _run(hook, text)
        except (OSError, StartError) as error:
            reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
            raise StartError(f"error running {kind} hook #{number}: {reason}") from error


def run_hooks_leniently(
    kind: str, hooks: Sequence[Hook], state: Mapping[str, Any], *, log: Callable[[str], None]
) -> None:
    """Run hooks one after another; a failing one is logged, and the next runs all the same."""
    for hook in hooks:
        try:
            run_hooks(kind, [hook], state)
        except StartError as error:
            log(error.message)


def _run(hook: Hook, state: bytes) -> None:
    path = hook["path"]
    # Memory files: a hook that reads nothing or writes much can't block us as a pipe would.
    input_fd = _memory_file("state", state)
    output_fd = _memory_file("output", b"")
    try:
        pid = os.posix_spawn(
            path,
            hook.get("args") or [path],
            dict(variable.partition("=")[::2] for variable in hook.get("env") or ()),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, input_fd, 0),
                (os.POSIX_SPAWN_DUP2, output_fd, 1),
                (os.POSIX_SPAWN_DUP2, output_fd, 2),
            ],
            setsigmask=(),
            setsigdef=_DEFAULT_SIGNALS,
        )
        status = _wait(pid, hook.get("timeout"))
        if status:
            raise StartError(f"{status}, output: {_read(output_fd)}")
    finally:
        os.close(input_fd)
        os.close(output_fd)


def _memory_file(name: str, content: bytes) -> int:
    fd = os.memfd_create(name)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _wait(pid: int, timeout: float | None) -> str:
    hook_fd = pidfd.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(hook_fd, select.POLLIN)
        if not poll.poll(None if timeout is None else timeout * 1000):
            pidfd.pidfd_send_signal(hook_fd, signal.SIGKILL)
            pidfd.wait(hook_fd)
            return f"context deadline exceeded after {timeout} s"
        code = pidfd.wait(hook_fd)
        return f"exit status {code}" if code else ""
    finally:
        os.close(hook_fd)


def _read(output_fd: int) -> str:
    os.lseek(output_fd, 0, os.SEEK_SET)
    return os.read(output_fd, 4096).decode(errors="replace").strip()
