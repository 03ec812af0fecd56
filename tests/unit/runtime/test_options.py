"""Mount option words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.kernel.mount import MountFlag
from moorage.kernel.mount_fd import MountAttr
from moorage.runtime.options import option_words, parse_options

# config.md, "Linux mount options".
SPECIFIED = """
async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev nodiratime noexec
noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime
remount rexec rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime
rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync
tmpcopyup unbindable idmap ridmap
""".split()


@pytest.mark.parametrize("word", SPECIFIED)
def test_every_specified_word_is_understood(word: str) -> None:
    assert word in option_words()
    assert parse_options([word]).data == []


@pytest.mark.parametrize(
    ("words", "attr_set", "attr_clr"),
    [
        (["ro"], MountAttr.RDONLY, 0),
        (["ro", "rw"], 0, MountAttr.RDONLY),
        (["nosuid", "nodev", "noexec"], MountAttr.NOSUID | MountAttr.NODEV | MountAttr.NOEXEC, 0),
        (["noatime"], MountAttr.NOATIME, MountAttr.ATIME),
        (["noatime", "strictatime"], MountAttr.STRICTATIME, MountAttr.ATIME),
        (["noatime", "relatime"], 0, MountAttr.ATIME),
        (["nosymfollow"], MountAttr.NOSYMFOLLOW, 0),
    ],
)
def test_attributes(words: list[str], attr_set: int, attr_clr: int) -> None:
    options = parse_options(words)
    assert options.attr_set == attr_set
    assert options.attr_clr & ~attr_set | (attr_clr & attr_set) == options.attr_clr
    assert options.attr_clr & attr_clr == attr_clr


def test_recursive_words_leave_the_plain_ones_alone() -> None:
    options = parse_options(["rro", "rnoatime"])
    assert (options.attr_set, options.attr_clr) == (0, 0)
    assert options.recursive_set == MountAttr.RDONLY | MountAttr.NOATIME
    assert options.recursive_clr & MountAttr.ATIME == MountAttr.ATIME
    assert options.read_only


def test_propagations_keep_their_order() -> None:
    assert parse_options(["rprivate", "shared"]).propagation == [MountFlag.PRIVATE | MountFlag.REC, MountFlag.SHARED]


def test_flags_of_the_file_system_can_be_taken_back() -> None:
    assert parse_options(["sync", "lazytime", "async"]).superblock == ["lazytime"]


def test_requests_to_the_runtime() -> None:
    options = parse_options(["rbind", "ridmap", "tmpcopyup", "remount"])
    assert options.bind
    assert options.recursive_bind
    assert options.idmap == "ridmap"
    assert options.copy_up
    assert options.remount


@given(st.lists(st.sampled_from([*SPECIFIED, "size=1m", "mode=755", "x"])))
def test_only_unknown_words_reach_the_file_system(words: list[str]) -> None:
    assert parse_options(words).data == [word for word in words if word not in SPECIFIED]


@given(st.lists(st.sampled_from(SPECIFIED)))
def test_access_time_modes_are_always_set_as_one_field(words: list[str]) -> None:
    options = parse_options(words)
    for bits, cleared in ((options.attr_set, options.attr_clr), (options.recursive_set, options.recursive_clr)):
        if bits & MountAttr.ATIME:
            # mount_setattr(2) refuses a mode without the whole field being cleared.
            assert cleared & MountAttr.ATIME == MountAttr.ATIME
