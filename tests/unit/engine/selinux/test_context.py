"""Labels of containers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.engine.selinux.context import (
    LabelOptionError,
    Labels,
    labels_for,
    may_relabel,
    parse_defaults,
    relabel_word,
    same_as,
    shared_label,
    unique_level,
)

DEFAULTS = parse_defaults(
    """
    # of the policy
    process = "system_u:system_r:container_t:s0"
    ; an old comment
    file = "system_u:object_r:container_file_t:s0"
    ro_file="system_u:object_r:container_ro_file_t:s0"
    """
)
PAIRS = 1024 * 1023 // 2


def labels(*options: str, taken: tuple[str, ...] = (), number: int = 0) -> Labels:
    return labels_for(options, defaults=DEFAULTS, taken=taken, choose=lambda _: number)


def test_process_and_files_share_a_level_of_their_own() -> None:
    assert labels() == Labels(
        process="system_u:system_r:container_t:s0:c0,c1", mount="system_u:object_r:container_file_t:s0:c0,c1"
    )
    assert labels(taken=("s0:c0,c1",)).process.endswith(":s0:c0,c2")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            ["user:u", "role:r", "type:t", "level:s0:c5,c6"],
            Labels(process="u:r:t:s0:c5,c6", mount="u:object_r:container_file_t:s0:c5,c6"),
        ),
        (
            ["filetype:f"],
            Labels(process="system_u:system_r:container_t:s0:c0,c1", mount="system_u:object_r:f:s0:c0,c1"),
        ),
        (["disable"], Labels(mount="system_u:object_r:container_file_t:s0:c1022,c1023")),
        (["type:t", "disable"], Labels(mount="system_u:object_r:container_file_t:s0:c1022,c1023")),
    ],
)
def test_options_change_parts(options: list[str], expected: Labels) -> None:
    assert labels(*options) == expected


@pytest.mark.parametrize("option", ["nonsense", "colour:blue", "type"])
def test_an_unknown_option_is_refused(option: str) -> None:
    with pytest.raises(LabelOptionError, match=f"bad label option \"{option}\", valid options 'disable' or"):
        labels(option)


def test_a_policy_without_containers_labels_nothing() -> None:
    assert labels_for(["type:x"], defaults={}, taken=(), choose=lambda _: 0) == Labels()


@given(st.integers(0, PAIRS - 1))
def test_levels_are_two_different_categories(number: int) -> None:
    low, high = unique_level((), choose=lambda _: number).removeprefix("s0:").replace("c", "").split(",")
    assert 0 <= int(low) < int(high) <= 1023


def test_the_categories_of_the_unconfined_are_never_chosen() -> None:
    assert unique_level((), choose=lambda _: PAIRS - 1) == "s0:c0,c1"


def test_joining_takes_over_the_others_label() -> None:
    assert same_as("u:r:t:s0:c5,c6") == ["user:u", "role:r", "type:t", "level:s0:c5,c6"]
    assert same_as("") == ["disable"]
    assert shared_label("u:r:t:s0:c5,c6") == "u:r:t:s0"


@pytest.mark.parametrize(("path", "allowed"), [("/", False), ("/etc/", False), ("/home", False), ("/srv/data", True)])
def test_what_the_host_needs_keeps_its_label(path: str, allowed: bool) -> None:
    assert may_relabel(path) is allowed


def test_a_mode_says_how_to_relabel() -> None:
    assert [relabel_word(mode) for mode in ("ro,z", "Z", "ro", "")] == ["z", "Z", "", ""]
