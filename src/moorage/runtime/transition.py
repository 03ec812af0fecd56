"""The last steps of a new process: from being set up to being the program.

The same for a container's first process and for one added later. `check` is what can
fail because of what the user asked for, and runs before the process reports that it is
ready; `run` never returns if it succeeds.
"""

from __future__ import annotations

import os
import stat

from moorage.kernel import prctl, signals
from moorage.kernel.close_range import CLOSE_RANGE_CLOEXEC, close_range
from moorage.runtime import limits
from moorage.runtime.errors import StartError
from moorage.runtime.privileges import become, capability_sets, own_stdio
from moorage.runtime.program import Program, find_program, parse_environment
from moorage.runtime.specification import section

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH109

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Final, NoReturn

    from moorage.runtime.filters import SystemCallFilter
    from moorage.runtime.labels import ExecLabel
    from moorage.runtime.specification import Spec

_LARGEST_PASSWD: Final = 1 << 20
_DEFAULT_UMASK: Final = 0o022


class Transition:
    """One process on its way to its program.

    Attributes:
        labels: To be set for the exec.
        warnings: What could not be granted, to be reported before `run`.
    """

    __slots__ = ("_entered", "_preserve", "_process", "_program", "_sets", "labels", "warnings")

    def __init__(
        self,
        process: Spec,
        *,
        labels: list[ExecLabel],
        preserve_fds: int,
        in_user_namespace: bool,
    ) -> None:
        self._process = process
        self.labels = labels
        self._preserve = preserve_fds
        self._sets = capability_sets(process, in_user_namespace=in_user_namespace)
        self._program: Program | None = None
        self._entered = False
        self.warnings: list[str] = list(self._sets.warnings)

    def check(self) -> None:
        """Enter the working directory and find the program, in the caller's root.

        Raises:
            StartError: Either is not there or may not be used.
        """
        if not self._process:
            return
        self._entered = _enter_directory(self._process["cwd"], last=False)
        environment = parse_environment(self._process.get("env") or ())
        uid = section(self._process, "user").get("uid") or 0
        if not environment.get("HOME"):
            environment["HOME"] = _home_directory(uid)
        arguments = self._process["args"]
        path = find_program(arguments[0], search_path=environment.get("PATH", ""))
        self._program = Program(path, arguments=arguments, environment=environment)

    def run(
        self, *, state: Mapping[str, Any], system_calls: SystemCallFilter | None, warn: Callable[[str], None]
    ) -> NoReturn:
        """Become the program, under a filter if there is one.

        Raises:
            StartError: Something is refused; the process can only end now.
        """
        if self._program is None:
            raise StartError("process property must not be empty")
        self._inherit()
        limits.set_priorities(self._process)
        for label in self.labels:
            label.apply()
        restricted = bool(self._process.get("noNewPrivileges"))
        if restricted:
            prctl.set_no_new_privs()
        limits.set_rlimits(self._process.get("rlimits") or (), warn=warn)
        self._become(state, system_calls, late=restricted)
        self._program.execute()
        self._program.fail()

    def _inherit(self) -> None:
        user = section(self._process, "user")
        own_stdio(user.get("uid") or 0)
        mask = user.get("umask")
        os.umask(_DEFAULT_UMASK if mask is None else mask)
        for fd in range(3, 3 + self._preserve):
            os.set_inheritable(fd, True)  # noqa: FBT003 - positional-only
        close_range(3 + self._preserve, flags=CLOSE_RANGE_CLOEXEC)
        signals.reset_for_exec()

    def _become(self, state: Mapping[str, Any], system_calls: SystemCallFilter | None, *, late: bool) -> None:
        def load_filter() -> None:
            if system_calls is not None:
                system_calls.load(state)

        # Without no_new_privs, loading a filter takes a capability the program won't have.
        become(self._process, self._sets, load_filter=_nothing if late else load_filter)
        if not self._entered:
            _enter_directory(self._process["cwd"], last=True)
        if late:
            load_filter()


def _nothing() -> None:
    """Load no filter yet."""


def _enter_directory(path: str, *, last: bool) -> bool:
    try:
        os.chdir(path)
    except PermissionError as error:
        # Root without CAP_DAC_OVERRIDE may be kept out of what the user may enter.
        if last:
            raise StartError(f'chdir to cwd ("{path}") set in config.json failed: permission denied', 126) from error
        return False
    except OSError as error:
        reason = (error.strerror or "").lower()
        code = 126 if isinstance(error, NotADirectoryError) else 127
        raise StartError(f'chdir to cwd ("{path}") set in config.json failed: {reason}', code) from error
    _check_inside()
    return True


def _check_inside() -> None:
    # A working directory of /proc/self/fd/N could be one of the host's, left open
    # (CVE-2024-21626): the kernel names one that can't be reached from the root so.
    try:
        inside = os.getcwd().startswith("/")
    except FileNotFoundError:
        inside = False
    if not inside:
        raise StartError("current working directory is outside of container mount namespace root -- possible breakout")


def _home_directory(uid: int) -> str:
    try:
        fd = os.open("/etc/passwd", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return "/"
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return "/"
        text = os.read(fd, _LARGEST_PASSWD).decode(errors="replace")
    finally:
        os.close(fd)
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= 6 and fields[2] == str(uid):
            return fields[5] or "/"
    return "/"
