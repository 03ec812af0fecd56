"""Keys of compiled profiles, and the cache itself with a compiler that only counts."""

from pathlib import Path
from typing import Any

import pytest

from moorage.kernel import libseccomp
from moorage.runtime.filter_cache import compile_cached, profile_digest


def test_the_digest_covers_what_is_compiled_and_nothing_else() -> None:
    one = {"defaultAction": "SCMP_ACT_ERRNO", "flags": [], "listenerPath": "/a"}
    assert profile_digest(one) == profile_digest({**one, "flags": None, "listenerPath": "/b"})
    assert profile_digest(one) != profile_digest({**one, "defaultErrnoRet": 38})


def test_a_profile_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []

    def compile_profile(profile: Any) -> bytes:
        compiled.append(profile)
        return b"12345678"

    monkeypatch.setattr(libseccomp, "compile_profile", compile_profile)
    directory = tmp_path / "made" / "on demand"
    for _ in range(2):
        assert compile_cached({"defaultAction": "SCMP_ACT_ALLOW"}, directory=str(directory)) == b"12345678"
    assert len(compiled) == 1
    assert [entry.suffix for entry in directory.iterdir()] == [".bpf"]


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libseccomp, "compile_profile", lambda _profile: b"12345678")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        (tmp_path / "file" / "x").read_bytes()
    assert compile_cached({}, directory=str(tmp_path / "file" / "x")) == b"12345678"
