"""What is done about a container once its init process has ended.

Not by an errand: the shim has not long to live, so the memory it touches here counts no more.
"""

from __future__ import annotations

import sys

from moorage.cgroups.errors import CgroupError
from moorage.runtime.errors import StartError
from moorage.shim.runtimes import open_runtime

_EXPECTED = (OSError, ValueError, KeyError, CgroupError, StartError)


def kill_leftovers(bundle: str, *, run_root: str) -> None:
    """Kill what the init process left behind, so that the streams come to their end."""
    try:
        open_runtime(bundle, run_root=run_root, warn=_warn).kill_leftovers()
    except _EXPECTED as error:
        _warn(f"leftover processes were not killed: {error}")


def clean_up(bundle: str, *, run_root: str) -> None:
    """Remove the cgroup and whatever else is left."""
    try:
        open_runtime(bundle, run_root=run_root, warn=_warn).cleanup()
    except _EXPECTED as error:
        _warn(f"not everything was removed: {error}")


def _warn(message: str) -> None:
    sys.stderr.write(f"{message}\n")
