"""The mount points that every container needs, as a layer below those of its image.

What an image lacks shows through from here, so mounting writes nothing into a container's
own layer: neither `diff` nor `commit` sees a file that only the engine needed. Docker puts
the same entries between the image and the container.
"""

import contextlib
from pathlib import Path
from typing import Final

_DIRECTORIES: Final = ("dev/pts", "dev/shm", "etc", "proc", "sys")
_FILES: Final = (".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf")
_MODE: Final = 0o755


def make_mount_points(root: Path) -> None:
    """Make the entries below a directory, unless they are there; blocks."""
    for name in _DIRECTORIES:
        (root / name).mkdir(mode=_MODE, parents=True, exist_ok=True)
    for name in _FILES:
        (root / name).touch(mode=_MODE)
    with contextlib.suppress(FileExistsError):
        (root / "etc/mtab").symlink_to("/proc/mounts")
