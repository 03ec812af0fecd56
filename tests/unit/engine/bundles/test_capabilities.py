"""`--cap-add`, `--cap-drop` and `--privileged`."""

import pytest

from moorage.engine.bundles.capabilities import (
    DEFAULT_CAPABILITIES,
    UnknownCapabilityError,
    effective_capabilities,
)
from moorage.kernel.capabilities import NAMES


def test_nothing_asked_gives_the_default_set() -> None:
    assert effective_capabilities(add=None, drop=None, privileged=False) == list(DEFAULT_CAPABILITIES)


def test_names_are_taken_in_any_form() -> None:
    added = effective_capabilities(add=["net_admin", "CAP_SYS_TIME"], drop=["Chown"], privileged=False)
    assert {"CAP_NET_ADMIN", "CAP_SYS_TIME"} <= set(added)
    assert "CAP_CHOWN" not in added


def test_drop_all_keeps_only_what_is_added() -> None:
    assert effective_capabilities(add=["NET_RAW"], drop=["ALL"], privileged=False) == ["CAP_NET_RAW"]


def test_add_all_without_the_dropped() -> None:
    names = effective_capabilities(add=["ALL"], drop=["SYS_ADMIN"], privileged=False)
    assert set(NAMES) - set(names) == {"CAP_SYS_ADMIN"}


def test_privileged_has_everything_whatever_is_dropped() -> None:
    assert effective_capabilities(add=None, drop=["ALL"], privileged=True) == list(NAMES)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownCapabilityError, match='invalid CapAdd: unknown capability: "CAP_FLY"'):
        effective_capabilities(add=["fly"], drop=None, privileged=False)
