"""systemd's names of cgroups."""

import pytest

from moorage.cgroups.errors import CgroupError
from moorage.cgroups.systemd_paths import expand_slice, parse_unit_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("system.slice:docker:abc", "/system.slice/docker-abc.scope"),
        (":docker:abc", "/system.slice/docker-abc.scope"),
        ("a-b.slice::abc", "/a.slice/a-b.slice/abc.scope"),
        ("-.slice:x:abc", "/x-abc.scope"),
        ("system.slice:x:mine.slice", "/system.slice/mine.slice"),
    ],
)
def test_a_unit_has_its_cgroup_below_its_slice(text: str, path: str) -> None:
    unit = parse_unit_path(text)
    assert unit is not None
    assert unit.path() == path


@pytest.mark.parametrize("text", ["/moorage/abc", "moorage/abc", "/odd:but:absolute"])
def test_a_plain_path_is_no_unit(text: str) -> None:
    assert parse_unit_path(text) is None


@pytest.mark.parametrize("text", ["a:b", "a:b:c:d", "a:b:"])
def test_another_number_of_parts_is_refused(text: str) -> None:
    with pytest.raises(CgroupError, match="slice:prefix:name"):
        parse_unit_path(text)


@pytest.mark.parametrize("name", ["a", ".slice", "a--b.slice", "-a.slice", "a/b.slice"])
def test_what_is_no_slice_is_refused(name: str) -> None:
    with pytest.raises(CgroupError, match="invalid slice name"):
        expand_slice(name)
