"""System call filters: seccomp(2), and the flags that a runtime specification profile asks for.

What is loaded is classic BPF bytes, which `moorage.kernel.libseccomp` compiles.

Spec: runtime-spec, config-linux.md "Seccomp".
"""

from __future__ import annotations

import ctypes
import errno
import struct

from moorage.kernel.libc import check, syscall, syscall_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_SECCOMP = syscall_number(x86_64=317, generic=277)
_SET_MODE_FILTER = 1

FLAGS: dict[str, int] = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_NEW_LISTENER": 8,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
}
# Speculation mitigations slow down programs that never asked for them; runc's default too.
_DEFAULT_FLAGS = ("SECCOMP_FILTER_FLAG_SPEC_ALLOW",)


class SeccompError(Exception):
    """A profile can't be compiled; the message names what in it is wrong or missing on the host."""


def load(bpf: bytes, flags: int = 0) -> int:
    """Put a filter on the calling thread, for ever and for all it starts.

    Needs no_new_privs, or CAP_SYS_ADMIN in the caller's user namespace.

    Returns:
        The listener's close-on-exec fd with NEW_LISTENER, otherwise 0.
    """
    buffer = ctypes.create_string_buffer(bpf, len(bpf))
    program = struct.pack("@HxxxxxxQ", len(bpf) // 8, ctypes.addressof(buffer))
    return check(syscall(_SECCOMP, _SET_MODE_FILTER, flags, program), "seccomp")


def flag_is_known(flag: int) -> bool:
    """Tell whether the running kernel knows a filter flag."""
    # A NULL program is looked at after the flags: EFAULT means that they passed.
    return syscall(_SECCOMP, _SET_MODE_FILTER, flag, None) < 0 and ctypes.get_errno() == errno.EFAULT


def filter_flags(profile: Mapping[str, Any]) -> int:
    """Return the flags for `load` that a profile asks for, NEW_LISTENER with a NOTIFY action.

    Raises:
        SeccompError: It names a flag that doesn't exist.
    """
    named = profile.get("flags")
    flags = 0
    for name in _DEFAULT_FLAGS if named is None else named:
        if name not in FLAGS:
            raise SeccompError(f"unknown seccomp flag {name!r}")
        flags |= FLAGS[name]
    if uses_notify(profile):
        # TSYNC returns the number of a thread in the place of the listener.
        flags = flags & ~FLAGS["SECCOMP_FILTER_FLAG_TSYNC"] | FLAGS["SECCOMP_FILTER_FLAG_NEW_LISTENER"]
    return flags


def uses_notify(profile: Mapping[str, Any]) -> bool:
    """Tell whether some system call is handed to a listener."""
    actions = [profile.get("defaultAction"), *(rule["action"] for rule in profile.get("syscalls") or ())]
    return "SCMP_ACT_NOTIFY" in actions
