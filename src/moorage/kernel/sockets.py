"""What sockets tell beyond Python's own module.

Spec: unix(7), "Ioctls".
"""

import fcntl
import sys
import termios


def unread_by_peer(fd: int) -> int:
    """Return how many bytes the peer of a local socket has not read yet, with the kernel's overhead.

    Raises:
        OSError: As ioctl(2).
    """
    return int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
