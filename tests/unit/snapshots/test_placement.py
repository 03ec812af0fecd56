"""Directories that ask to be spread, where the file system can."""

import os
from pathlib import Path

import pytest

from moorage.kernel.inode_flags import TOP_OF_TREES, get_flags
from moorage.snapshots.placement import spread


def test_a_directory_is_marked_as_the_top_of_trees(tmp_path: Path) -> None:
    spread(tmp_path)
    spread(tmp_path)
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flags = get_flags(fd)
    except OSError as error:
        pytest.skip(f"this file system keeps no flags: {error}")
    finally:
        os.close(fd)
    if not flags & TOP_OF_TREES:
        pytest.skip("this file system does not know the flag")


def test_a_file_system_without_flags_is_left_as_it_is() -> None:
    spread(Path("/proc/self"))
