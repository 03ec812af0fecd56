"""Flags of profiles."""

import pytest

from moorage.kernel import seccomp


def test_flags_have_a_default_only_when_the_profile_has_none() -> None:
    assert seccomp.filter_flags({}) == 4
    assert seccomp.filter_flags({"flags": []}) == 0
    assert seccomp.filter_flags({"flags": ["SECCOMP_FILTER_FLAG_LOG"]}) == 2


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(seccomp.SeccompError, match="SECCOMP_FILTER_FLAG_FAST"):
        seccomp.filter_flags({"flags": ["SECCOMP_FILTER_FLAG_FAST"]})


def test_a_notify_action_asks_for_a_listener_and_no_thread_synchronisation() -> None:
    profile = {"flags": ["SECCOMP_FILTER_FLAG_TSYNC"], "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]}
    assert seccomp.filter_flags(profile) == 8
