"""The compiled form of system call profiles, kept on disk by the profile's digest.

Compiling a profile costs 20 to 40 ms, loading its bytes well below one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os

from moorage.kernel import libseccomp
from moorage.kernel.libc import MACHINE

# pathlib would be in memory beside every container.
# ruff: noqa: PTH103, PTH104, PTH108, PTH120, PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# Part of the key: raise it when the bytes made from one profile change.
_COMPILER_VERSION = 1


def profile_digest(profile: Mapping[str, Any]) -> str:
    """Return 64 hex digits that name the bytes compiled from a profile on this machine."""
    compiled = {key: profile.get(key) for key in ("defaultAction", "defaultErrnoRet", "architectures", "syscalls")}
    text = json.dumps([_COMPILER_VERSION, MACHINE, compiled], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def compile_cached(profile: Mapping[str, Any], *, directory: str) -> bytes:
    """Return the BPF bytes of a profile, from `directory` or compiled and stored there.

    The cache may be deleted at any time; a directory that can't be used only costs time.

    Raises:
        SeccompError: The profile can't be compiled.
    """
    path = f"{directory}/{profile_digest(profile)}.bpf"
    with contextlib.suppress(OSError), open(path, "rb") as stored:
        return stored.read()
    bpf = libseccomp.compile_profile(profile)
    _store(path, bpf)
    return bpf


def _store(path: str, bpf: bytes) -> None:
    temporary = f"{path.removesuffix('.bpf')}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(temporary, "wb") as stored:
            stored.write(bpf)
            # Without it a crash of the machine may leave an empty file under the final name.
            stored.flush()
            os.fsync(stored.fileno())
        os.rename(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
