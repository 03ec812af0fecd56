"""Paths of containers in the words of the Engine API."""

import base64
import json
import stat

import pytest

from moorage.snapshots.paths import PathStat, displayable, go_mode, go_time


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (stat.S_IFREG | 0o644, 0o644),
        (stat.S_IFDIR | 0o755, 1 << 31 | 0o755),
        (stat.S_IFDIR | 0o1777, 1 << 31 | 1 << 20 | 0o777),
        (stat.S_IFLNK | 0o777, 1 << 27 | 0o777),
        (stat.S_IFREG | 0o6755, 1 << 23 | 1 << 22 | 0o755),
        (stat.S_IFCHR | 0o600, 1 << 26 | 1 << 21 | 0o600),
        (stat.S_IFBLK | 0o600, 1 << 26 | 0o600),
        (stat.S_IFIFO | 0o600, 1 << 25 | 0o600),
        (stat.S_IFSOCK | 0o600, 1 << 24 | 0o600),
    ],
)
def test_modes_are_those_of_go(mode: int, expected: int) -> None:
    assert go_mode(mode) == expected


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [(0, "1970-01-01T00:00:00Z"), (1_500_000_000, "1970-01-01T00:00:01.5Z"), (-1, "1969-12-31T23:59:59.999999999Z")],
)
def test_times_are_those_of_go(nanoseconds: int, expected: str) -> None:
    assert go_time(nanoseconds) == expected


def test_the_header_is_base64_of_json() -> None:
    found = PathStat(name="é", size=3, mode=0o644, mtime_ns=0, link_target="")
    assert json.loads(base64.b64decode(found.header())) == {
        "name": "é", "size": 3, "mode": 0o644, "mtime": "1970-01-01T00:00:00Z", "linkTarget": "",
    }  # fmt: skip


def test_names_that_are_no_text_can_be_shown() -> None:
    assert displayable("a\udcff") == "a\ufffd"
