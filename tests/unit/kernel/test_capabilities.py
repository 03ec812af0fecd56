"""Names and sets of capabilities."""

from hypothesis import given
from hypothesis import strategies as st

from moorage.kernel import capabilities


def test_numbers_are_those_of_the_kernel() -> None:
    known = {
        "CAP_CHOWN": 0,
        "CAP_SETPCAP": 8,
        "CAP_SYS_ADMIN": 21,
        "CAP_SYS_RESOURCE": 24,
        "CAP_CHECKPOINT_RESTORE": 40,
    }
    assert {name: capabilities.NUMBERS[name] for name in known} == known


@given(st.integers(0, (1 << len(capabilities.NAMES)) - 1))
def test_a_set_survives_being_named(mask: int) -> None:
    assert capabilities.mask_of(capabilities.names_in(mask)) == (mask, [])


def test_unknown_names_are_told_apart() -> None:
    assert capabilities.mask_of(["CAP_KILL", "CAP_FLY"]) == (1 << 5, ["CAP_FLY"])


def test_only_what_is_bounded_and_permitted_is_grantable() -> None:
    grantable = capabilities.grantable()
    assert grantable & ~capabilities.bounding_set() == 0
    assert grantable & ~capabilities.capget()[1] == 0


def test_setting_the_present_sets_changes_nothing() -> None:
    before = capabilities.capget()
    capabilities.capset(*before)
    assert capabilities.capget() == before
