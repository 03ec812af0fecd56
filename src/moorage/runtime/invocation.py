"""One call of `moor-oci`: its global options, and where it says what."""

from __future__ import annotations

import json
import os
import sys
import time

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH100, PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import TextIO


class Log:
    """Lines as runc writes them: to a file for the caller to read, else to standard error.

    Attributes:
        is_file: Whether what is logged does not appear on standard error.
    """

    __slots__ = ("_debug", "_json", "_stream", "is_file")

    def __init__(self, *, path: str, form: str, debug: bool) -> None:
        self._debug = debug
        self._json = form == "json"
        self.is_file = bool(path)
        self._stream: TextIO = sys.stderr
        if path:
            # Closed at exit; a container's program never gets it, as all we open is close-on-exec.
            self._stream = open(path, "a", encoding="utf-8")  # noqa: SIM115

    def debug(self, message: str) -> None:
        """Log a line that only --debug shows."""
        if self._debug:
            self._write("debug", message)

    def warning(self, message: str) -> None:
        """Log something that went otherwise than asked for."""
        self._write("warning", message)

    def failure(self, message: str) -> None:
        """Log why the call failed."""
        self._write("error", message)

    def _write(self, level: str, message: str) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self._json:
            line = json.dumps({"level": level, "msg": message, "time": now})
        else:
            line = f'time="{now}" level={level} msg={json.dumps(message, ensure_ascii=False)}'
        self._stream.write(f"{line}\n")
        self._stream.flush()


class Invocation:
    """The global options of one call.

    Attributes:
        criu: The program that makes checkpoints.
        root: Where the containers' states are.
        systemd_cgroup: The cgroup is to be made by systemd.
    """

    __slots__ = ("criu", "log", "root", "systemd_cgroup")

    def __init__(self, options: argparse.Namespace) -> None:
        self.criu: str = options.criu
        self.root: str = os.path.abspath(options.root)
        self.log = Log(path=options.log or "", form=options.log_format, debug=options.debug)
        self.systemd_cgroup: bool = options.systemd_cgroup or options.cgroup_manager == "systemd"

    @property
    def seccomp_cache(self) -> str:
        """Where compiled filters are kept between calls."""
        return f"{self.root}/.seccomp"


def default_root() -> str:
    """Return where states are kept unless --root says otherwise."""
    if os.geteuid() == 0:
        return "/run/moorage/oci"
    directory = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/moorage-{os.geteuid()}"  # noqa: S108 - as runc does
    return f"{directory}/moorage/oci"
