"""Flags and cache keys of profiles, and the cache itself with a compiler that only counts."""

from pathlib import Path
from typing import Any

import pytest

from moorage.kernel import libseccomp, seccomp


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


def test_the_digest_covers_what_is_compiled_and_nothing_else() -> None:
    one = {"defaultAction": "SCMP_ACT_ERRNO", "flags": [], "listenerPath": "/a"}
    assert seccomp.profile_digest(one) == seccomp.profile_digest({**one, "flags": None, "listenerPath": "/b"})
    assert seccomp.profile_digest(one) != seccomp.profile_digest({**one, "defaultErrnoRet": 38})


def test_a_profile_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []

    def compile_profile(profile: Any) -> bytes:
        compiled.append(profile)
        return b"12345678"

    monkeypatch.setattr(libseccomp, "compile_profile", compile_profile)
    directory = tmp_path / "made" / "on demand"
    for _ in range(2):
        assert seccomp.compile_cached({"defaultAction": "SCMP_ACT_ALLOW"}, directory=str(directory)) == b"12345678"
    assert len(compiled) == 1
    assert [entry.suffix for entry in directory.iterdir()] == [".bpf"]


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libseccomp, "compile_profile", lambda _profile: b"12345678")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        (tmp_path / "file" / "x").read_bytes()
    assert seccomp.compile_cached({}, directory=str(tmp_path / "file" / "x")) == b"12345678"
