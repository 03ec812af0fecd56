"""Where a sparse file has data: SEEK_DATA and SEEK_HOLE of lseek(2)."""

from __future__ import annotations

import errno
import os
import sys


def next_data(fd: int, offset: int) -> tuple[int, int]:
    """Return where a file's next data begins, at or behind `offset`, and ends; moves its position.

    Where a file system knows no holes, all is data up to the end, which may be beyond the
    file's; without any data left, both are `sys.maxsize`.
    """
    try:
        begin = os.lseek(fd, offset, os.SEEK_DATA)
        return begin, os.lseek(fd, begin, os.SEEK_HOLE)
    except OSError as error:
        return (sys.maxsize if error.errno == errno.ENXIO else offset), sys.maxsize
