"""Which namespaces are made, which joined, and by whom."""

from typing import Any

import pytest

from moorage.kernel.namespaces import CloneFlag
from moorage.runtime.errors import StartError
from moorage.runtime.namespaces import NamespacePlan

OWN_NETWORK = {"type": "network", "path": "/proc/self/ns/net"}


def plan(*namespaces: dict[str, Any], **linux: Any) -> NamespacePlan:
    """Return the plan of some namespaces."""
    return NamespacePlan({"linux": {"namespaces": list(namespaces), **linux}})


def test_the_cgroup_namespace_is_not_made_by_the_clone() -> None:
    made = plan({"type": "mount"}, {"type": "cgroup"})
    assert made.new == {"mount", "cgroup"}
    assert made.clone_flags == CloneFlag.NEWNS


def test_a_time_namespace_with_offsets_is_made_later() -> None:
    assert plan({"type": "time"}).clone_flags == CloneFlag.NEWTIME
    assert plan({"type": "time"}, timeOffsets={"boottime": {"secs": 1}}).clone_flags == 0


def test_joining_with_new_users_takes_a_stage() -> None:
    for namespaces, stage in (
        ([OWN_NETWORK], False),
        ([OWN_NETWORK, {"type": "user"}], True),
        ([{"type": "user"}], False),
        ([{"type": "pid", "path": "/proc/self/ns/pid"}, {"type": "user"}], False),
        ([{"type": "user", "path": "/proc/self/ns/user"}], True),
    ):
        made = plan(*namespaces)
        assert made.needs_stage is stage
        made.close()


def test_a_namespace_that_is_not_there_is_named() -> None:
    with pytest.raises(StartError, match=r"lstat /no/such: no such file or directory \(network namespace\)"):
        plan({"type": "network", "path": "/no/such"})
