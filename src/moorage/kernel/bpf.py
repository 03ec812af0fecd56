"""eBPF programs on cgroups: bpf(2), as much of it as device access control needs."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from moorage.kernel.libc import check, failure, syscall, syscall_number

_BPF = syscall_number(x86_64=321, generic=280)
_PROG_LOAD, _PROG_ATTACH, _PROG_DETACH, _PROG_GET_FD_BY_ID, _PROG_QUERY = 5, 8, 9, 13, 16
_CGROUP_DEVICE_PROGRAM = 15
_CGROUP_DEVICE = 6
F_ALLOW_MULTI, F_REPLACE = 2, 4
_QUERY_MAX = 64


def _bpf(command: int, attributes: bytes) -> int:
    return syscall(_BPF, command, attributes, len(attributes))


def load_device_program(instructions: bytes, *, name: str = "") -> int:
    """Load a program that decides about device access; return its close-on-exec fd.

    Raises:
        OSError: As bpf(2); when the kernel's verifier refused it, its log is in the notes.
    """
    license_name = ctypes.create_string_buffer(b"Apache-2.0")

    def attempt(log: ctypes.Array[ctypes.c_char] | None) -> int:
        attributes = struct.pack(
            "=IIQQIIQII16s",
            _CGROUP_DEVICE_PROGRAM,
            len(instructions) // 8,
            ctypes.addressof(code),
            ctypes.addressof(license_name),
            1 if log else 0,
            len(log) if log else 0,
            ctypes.addressof(log) if log else 0,
            0,
            0,
            name.encode()[:15],
        )
        return _bpf(_PROG_LOAD, attributes)

    code = ctypes.create_string_buffer(instructions, len(instructions))
    # The verifier is slower when it writes a log, so it is asked for only after a refusal.
    if (fd := attempt(None)) >= 0:
        return fd
    error = failure(ctypes.get_errno(), "bpf[PROG_LOAD]")
    if error.errno in {errno.EINVAL, errno.EACCES}:
        log = ctypes.create_string_buffer(1 << 16)
        if (fd := attempt(log)) >= 0:
            return fd
        error.add_note(log.value.decode(errors="replace"))
    raise error


def attach_device_program(cgroup_fd: int, program_fd: int, *, replace_fd: int = -1) -> None:
    """Attach a program to a cgroup v2 directory, beside or instead of another one."""
    flags = F_ALLOW_MULTI | (F_REPLACE if replace_fd >= 0 else 0)
    attributes = struct.pack("=IIIII", cgroup_fd, program_fd, _CGROUP_DEVICE, flags, max(replace_fd, 0))
    check(_bpf(_PROG_ATTACH, attributes), "bpf[PROG_ATTACH]")


def detach_device_program(cgroup_fd: int, program_fd: int) -> None:
    """Detach a program from a cgroup."""
    check(_bpf(_PROG_DETACH, struct.pack("=IIII", cgroup_fd, program_fd, _CGROUP_DEVICE, 0)), "bpf[PROG_DETACH]")


def device_programs(cgroup_fd: int) -> list[int]:
    """Open the device programs attached to a cgroup itself; return their fds, which the caller owns."""
    identifiers = (ctypes.c_uint32 * _QUERY_MAX)()
    attributes = ctypes.create_string_buffer(
        struct.pack("=IIIIQII", cgroup_fd, _CGROUP_DEVICE, 0, 0, ctypes.addressof(identifiers), _QUERY_MAX, 0)
    )
    check(syscall(_BPF, _PROG_QUERY, attributes, len(attributes) - 1), "bpf[PROG_QUERY]")
    (count,) = struct.unpack_from("=I", attributes.raw, 24)
    opened: list[int] = []
    try:
        # extend() keeps what came before an error, so that it can be closed.
        opened.extend(
            check(_bpf(_PROG_GET_FD_BY_ID, struct.pack("=III", identifier, 0, 0)), "bpf[PROG_GET_FD_BY_ID]")
            for identifier in identifiers[:count]
        )
    except OSError:
        for fd in opened:
            os.close(fd)
        raise
    return opened
