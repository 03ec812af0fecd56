"""Namespaces: clone3(2), unshare(2), setns(2), and the names that live in them.

Call these only from a process with one thread: setns(2) and unshare(2) refuse a threaded
process for mount and user namespaces, and a clone of one has locks nobody will release.
"""

from __future__ import annotations

import ctypes
import enum
import os
import signal
import struct

from moorage.kernel.libc import check, libc, locked_libc

_CLONE3 = 435
# CLONE_ARGS_SIZE_VER2: Linux 5.7, the first with CLONE_INTO_CGROUP.
_ARGUMENTS = struct.Struct("=QQQQQQQQQQQ")

libc.unshare.argtypes = (ctypes.c_int,)
libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
libc.sethostname.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
libc.setdomainname.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
for _hook in ("PyOS_BeforeFork", "PyOS_AfterFork_Parent", "PyOS_AfterFork_Child"):
    _function = getattr(ctypes.pythonapi, _hook)
    _function.argtypes = ()
    _function.restype = None


class CloneFlag(enum.IntFlag):
    """Flags of clone3(2), unshare(2) and setns(2); values from linux/sched.h."""

    NEWTIME = 0x00000080
    VM = 0x00000100
    FS = 0x00000200
    FILES = 0x00000400
    PIDFD = 0x00001000
    PARENT = 0x00008000
    NEWNS = 0x00020000
    NEWCGROUP = 0x02000000
    NEWUTS = 0x04000000
    NEWIPC = 0x08000000
    NEWUSER = 0x10000000
    NEWPID = 0x20000000
    NEWNET = 0x40000000
    # clone3(2) only: beyond the 32 bits of the older calls.
    CLEAR_SIGHAND = 0x100000000
    INTO_CGROUP = 0x200000000


# The runtime specification's name of a namespace -> (flag, file under /proc/<pid>/ns).
NAMESPACES: dict[str, tuple[CloneFlag, str]] = {
    "user": (CloneFlag.NEWUSER, "user"),
    "mount": (CloneFlag.NEWNS, "mnt"),
    "uts": (CloneFlag.NEWUTS, "uts"),
    "ipc": (CloneFlag.NEWIPC, "ipc"),
    "network": (CloneFlag.NEWNET, "net"),
    "pid": (CloneFlag.NEWPID, "pid"),
    "cgroup": (CloneFlag.NEWCGROUP, "cgroup"),
    "time": (CloneFlag.NEWTIME, "time"),
}


def clone3(flags: int = 0, *, exit_signal: int = signal.SIGCHLD, cgroup_fd: int = -1) -> tuple[int, int]:
    """Duplicate the process like fork(2), into the namespaces that `flags` asks for.

    Python's fork hooks run around the call, so the child is as sane as after os.fork().
    The child must leave by exec or os._exit(): it must never unwind its parent's stack.

    Args:
        flags: `CloneFlag` bits; PIDFD is always added, INTO_CGROUP with `cgroup_fd`.
        exit_signal: What the parent gets at the end; must be 0 with CloneFlag.PARENT.
        cgroup_fd: An open cgroup v2 directory in which the child starts.

    Returns:
        (pid, pidfd) in the parent, which owns the close-on-exec pidfd; (0, -1) in the
        child.
    """
    pidfd = ctypes.c_int(-1)
    flags = int(flags) | 0x1000
    if cgroup_fd >= 0:
        flags |= 0x200000000
    arguments = _ARGUMENTS.pack(flags, ctypes.addressof(pidfd), 0, 0, exit_signal, 0, 0, 0, 0, 0, max(cgroup_fd, 0))
    ctypes.pythonapi.PyOS_BeforeFork()
    # The lock stays held over the call: in the child nobody else could release it.
    pid = locked_libc.syscall(_CLONE3, arguments, len(arguments), 0, 0, 0, 0)
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0, -1
    code = ctypes.get_errno()
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    ctypes.set_errno(code)
    return check(pid, "clone3"), pidfd.value


def unshare(flags: int) -> None:
    """Move the caller into new namespaces (for NEWPID and NEWTIME: its next children).

    Args:
        flags: `CloneFlag` bits.
    """
    check(libc.unshare(flags), "unshare")


def setns(fd: int, nstype: int = 0) -> None:
    """Join a namespace.

    Args:
        fd: A namespace's file, or a pidfd.
        nstype: The `CloneFlag` the file must be of, 0 for any; with a pidfd all the
            namespaces to join, in one step that succeeds or fails as a whole.
    """
    check(libc.setns(fd, nstype), "setns", fd)


def open_namespace(pid: int | str, name: str) -> int:
    """Open a process's namespace; return an fd that keeps it alive.

    Args:
        pid: A process ID or "self".
        name: A key of `NAMESPACES`.
    """
    return os.open(f"/proc/{pid}/ns/{NAMESPACES[name][1]}", os.O_RDONLY | os.O_CLOEXEC)


def sethostname(name: str) -> None:
    """Set the host name of the caller's UTS namespace; at most 64 bytes."""
    raw = name.encode()
    check(libc.sethostname(raw, len(raw)), "sethostname", name)


def setdomainname(name: str) -> None:
    """Set the NIS domain name of the caller's UTS namespace; at most 64 bytes."""
    raw = name.encode()
    check(libc.setdomainname(raw, len(raw)), "setdomainname", name)
