"""How failures of system calls become exceptions."""

import errno

import pytest

from moorage.kernel.libc import check, encode, failure, syscall, syscall_number


def test_an_error_names_the_path_and_the_call() -> None:
    error = failure(errno.EACCES, "mount", "/x")
    assert isinstance(error, PermissionError)
    assert error.filename == "/x"
    assert error.__notes__ == ["in mount()"]


def test_an_unknown_call_fails_with_enosys() -> None:
    with pytest.raises(OSError, match="not implemented") as caught:
        check(syscall(-1), "nothing")
    assert caught.value.errno == errno.ENOSYS


def test_a_nul_byte_never_cuts_a_path() -> None:
    with pytest.raises(ValueError, match="NUL"):
        encode("/etc\0/passwd")


def test_calls_have_a_number_only_on_known_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moorage.kernel.libc.MACHINE", "aarch64")
    assert syscall_number(x86_64=1, generic=2) == 2
    monkeypatch.setattr("moorage.kernel.libc.MACHINE", "s390x")
    assert syscall_number(x86_64=1, generic=2) == -1
