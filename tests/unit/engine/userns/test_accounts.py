"""`userns-remap`: users, groups and what is set aside for them."""

import pytest

from moorage.engine.userns.accounts import Accounts, RemapError, needs_default_user, next_range, remapping
from moorage.engine.userns.mapping import IdMapping, IdRange, UnmappedRootError

ACCOUNTS = Accounts(
    passwd="root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n",
    group="root:x:0:\nann:x:1000:\n",
    subuid="ann:100000:65536\n1000:300000:10\n\nbroken\n",
    subgid="ann:200000:65536\n",
)


@pytest.mark.parametrize("value", ["ann", "1000", "ann:ann", "ann:1000", "1000:ann"])
def test_ranges_follow_each_other_inside(value: str) -> None:
    mapping = remapping(value, ACCOUNTS)
    assert mapping == IdMapping(
        uids=(IdRange(inside=0, outside=100000, size=65536), IdRange(inside=65536, outside=300000, size=10)),
        gids=(IdRange(inside=0, outside=200000, size=65536),),
    )
    assert mapping.root == (100000, 200000)


def test_root_is_not_mapped_to_itself() -> None:
    assert remapping("root", ACCOUNTS) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a:b:c", 'Invalid user/group specification in --userns-remap: "a:b:c"'),
        ("zoe", 'Error during uid lookup for "zoe"'),
        ("7", "Uid 7 has no entry in /etc/passwd"),
        ("ann:zoe", 'Error during gid lookup for "zoe"'),
        ("1001", "Gid 1001 has no entry in /etc/group"),
        ("bob:ann", 'no subuid ranges found for user "bob"'),
    ],
)
def test_what_is_missing_is_named(value: str, text: str) -> None:
    with pytest.raises(RemapError, match=text.replace("(", r"\(")):
        remapping(value, ACCOUNTS)


def test_the_default_user_is_wanted_only_by_its_word() -> None:
    assert needs_default_user("default", ACCOUNTS)
    assert not needs_default_user("ann", ACCOUNTS)


@pytest.mark.parametrize(
    ("subordinate", "expected"),
    [
        ("", (100000, 165535)),
        ("ann:100000:65536\n", (165536, 231071)),
        ("bob:165536:65536\nann:100000:65536\n", (231072, 296607)),
        ("ann:500000:65536\n", (100000, 165535)),
    ],
)
def test_a_new_range_overlaps_no_other(subordinate: str, expected: tuple[int, int]) -> None:
    assert next_range(subordinate) == expected


def test_a_mapping_without_root_is_none() -> None:
    with pytest.raises(UnmappedRootError):
        IdMapping(uids=(IdRange(inside=5, outside=5, size=1),), gids=()).root  # noqa: B018 - the property raises
