"""Names in archives and paths of containers, as text."""

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.worker.container_paths import absolute, last_name
from moorage.worker.directories import clean
from moorage.worker.failures import about, quoted

names = st.lists(st.sampled_from([b"a", b"b", b".", b"..", b""]), max_size=8).map(b"/".join)


@given(names)
def test_a_cleaned_name_is_what_posix_makes_of_it_or_leaves_the_tree(name: bytes) -> None:
    cleaned = clean(name)
    normal = posixpath.normpath(name.lstrip(b"/") or b".")
    if cleaned is None:
        assert normal.startswith(b"..")
    else:
        assert (cleaned or b".") == normal


@given(names)
def test_a_cleaned_name_has_nothing_left_to_interpret(name: bytes) -> None:
    parts = (clean(name) or b"x").split(b"/")
    assert b".." not in parts
    assert b"." not in parts


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"etc", b"/etc"), (b"/etc/", b"/etc/"), (b"/etc/.", b"/etc/."), (b"/", b"/"), (b"/.", b"/."), (b"", b"/."),
        (b".", b"/."), (b"../../x", b"/x"), (b"/a//b/../c/", b"/a/c/"), (b"a/./.", b"/a/."), (b"a/..", b"/"),
    ],
)  # fmt: skip
def test_paths_keep_the_trailing_slash_and_dot_they_were_given(path: bytes, expected: bytes) -> None:
    assert absolute(path) == expected


@pytest.mark.parametrize(
    ("path", "expected"), [(b"/a/b", b"b"), (b"/a/b/", b"b"), (b"/a/.", b"."), (b"/", b"/"), (b"", b"."), (b"a", b"a")]
)
def test_last_names_are_those_of_go(path: bytes, expected: bytes) -> None:
    assert last_name(path) == expected


def test_errors_are_worded_as_go_words_them() -> None:
    assert str(about(FileNotFoundError(2, "x"), b"/a\xff", "lstat")) == "lstat /a\ufffd: no such file or directory"
    assert quoted(b'a"b\\') == '"a\\"b\\\\"'
