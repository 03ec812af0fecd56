"""Pseudo terminals: ptmx, TIOCGPTPEER, window size, modes, the controlling terminal."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441
_WINSIZE = struct.Struct("=HHHH")


def open_master(path: str = "/dev/ptmx", *, dir_fd: int | None = None) -> int:
    """Open a new pseudo terminal, unlocked; return the close-on-exec master.

    Args:
        path: The ptmx of the devpts instance that the terminal shall belong to.
        dir_fd: What a relative path is relative to.
    """
    master_fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        fcntl.ioctl(master_fd, _TIOCSPTLCK, struct.pack("=i", 0))
    except OSError:
        os.close(master_fd)
        raise
    return master_fd


def open_peer(master_fd: int) -> int:
    """Open the other end of a pseudo terminal; return its close-on-exec fd.

    By descriptor, not by /dev/pts/N: that name may belong to another devpts instance.
    """
    return fcntl.ioctl(master_fd, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def window_size(fd: int) -> tuple[int, int]:
    """Return a terminal's (rows, columns)."""
    rows, columns, _, _ = _WINSIZE.unpack(fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(_WINSIZE.size)))
    return rows, columns


def set_window_size(fd: int, *, rows: int, columns: int) -> None:
    """Set a terminal's size; its foreground processes get SIGWINCH if it changed.

    The kernel has 16 bits for each number; of larger ones the upper bits are lost, as in C.
    """
    fcntl.ioctl(fd, termios.TIOCSWINSZ, _WINSIZE.pack(rows & 0xFFFF, columns & 0xFFFF, 0, 0))


def set_controlling_terminal(fd: int) -> None:
    """Make `fd` the controlling terminal of the caller, which must lead a session without one."""
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)


def make_raw(fd: int) -> list[int | list[bytes | int]]:
    """Pass bytes through unchanged, as cfmakeraw(3); return the former attributes."""
    former = termios.tcgetattr(fd)
    attributes = termios.tcgetattr(fd)
    attributes[0] &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    attributes[1] &= ~termios.OPOST
    attributes[2] = attributes[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    attributes[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    attributes[6][termios.VMIN], attributes[6][termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSADRAIN, attributes)
    return former


def restore(fd: int, attributes: list[int | list[bytes | int]]) -> None:
    """Set back the attributes that `make_raw` returned."""
    termios.tcsetattr(fd, termios.TCSADRAIN, attributes)
