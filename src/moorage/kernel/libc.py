"""The C library handle, raw system calls, and the one way to turn failures into OSError.

Two handles to the same library: `libc` releases the interpreter lock around a call, so
other threads run on; `locked_libc` keeps it, which a call that duplicates the process
needs (a lock held by a thread that does not exist in the child is held for ever).
"""

from __future__ import annotations

import ctypes
import os

# None means "the process itself", so glibc and musl are both found without a name.
# use_errno swaps in a per-thread errno copy; without it a thread switch may overwrite
# errno between the call and the read.
libc = ctypes.CDLL(None, use_errno=True)
locked_libc = ctypes.PyDLL(None, use_errno=True)

MACHINE = os.uname().machine
AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

# c_void_p takes integers (negative ones too), bytes, None, arrays and byref(): everything
# a system call can be given, without a cast at each call and never cut to 32 bits.
_RAW_ARGUMENTS = (ctypes.c_long, *(ctypes.c_void_p,) * 6)
for _handle in (libc, locked_libc):
    _handle.syscall.argtypes = _RAW_ARGUMENTS
    _handle.syscall.restype = ctypes.c_long


def syscall_number(*, x86_64: int, generic: int) -> int:
    """Return a call's number on this machine.

    Args:
        generic: The number in asm-generic/unistd.h, which aarch64, riscv64 and
            loongarch64 share. Calls from number 424 on are alike everywhere and need
            no lookup.

    Returns:
        -1 on any other machine: the kernel answers it with ENOSYS.
    """
    if MACHINE == "x86_64":
        return x86_64
    return generic if MACHINE in {"aarch64", "riscv64", "loongarch64"} else -1


def syscall(number: int, *arguments: object) -> int:
    """Make a system call that the C library has no function for; return its raw result.

    Pass the result through `check`. At most six arguments.
    """
    padding = (0,) * (6 - len(arguments))
    result: int = libc.syscall(number, *arguments, *padding)
    return result


def check(result: int, call: str, path: str | bytes | int | None = None) -> int:
    """Return a system call's result, or raise what errno says.

    Raises:
        OSError: `result` is negative. Its note names the call, because
            "Operation not permitted" alone never says what was not permitted.
    """
    if result >= 0:
        return result
    raise failure(ctypes.get_errno(), call, path)


def failure(code: int, call: str, path: str | bytes | int | None = None) -> OSError:
    """Return the OSError for an error number, naming the call and the path."""
    error = OSError(code, os.strerror(code), path)
    error.add_note(f"in {call}()")
    return error


def encode(path: str | bytes | None) -> bytes | None:
    """Return a path as the kernel takes it; None stays None (a NULL pointer).

    Raises:
        ValueError: The path holds a NUL byte, where the kernel would cut it in silence.
    """
    if path is None:
        return None
    raw = os.fsencode(path)
    if b"\0" in raw:
        raise ValueError(f"path holds a NUL byte: {path!r}")
    return raw
