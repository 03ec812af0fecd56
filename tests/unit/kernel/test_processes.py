"""Cloning, waiting, signals, limits: calls that need no privileges."""

import os
import signal

import pytest

from moorage.kernel import pidfd, rlimits, signals
from moorage.kernel.namespaces import clone3


def test_a_clone_is_a_sane_child_with_a_pidfd() -> None:
    parent = os.getpid()
    pid, fd = clone3()
    if pid == 0:
        os._exit(7 if os.getppid() == parent else 1)
    assert pidfd.peek_exit(fd) in {None, 7}
    assert pidfd.wait(fd) == 7
    os.close(fd)


def test_a_signal_through_the_pidfd_ends_the_child_with_128_more() -> None:
    pid, fd = clone3()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pause()
        os._exit(0)
    assert pidfd.poll_exit(fd) is None
    pidfd.pidfd_send_signal(fd, signal.SIGKILL)
    assert pidfd.wait(fd) == 128 + signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        pidfd.pidfd_send_signal(fd, signal.SIGKILL)
    os.close(fd)


def test_a_clone_runs_the_fork_hooks() -> None:
    ran: list[str] = []
    os.register_at_fork(before=lambda: ran.append("before"), after_in_parent=lambda: ran.append("parent"))
    pid, fd = clone3()
    if pid == 0:
        os._exit(0)
    pidfd.wait(fd)
    os.close(fd)
    assert ran == ["before", "parent"]


def test_a_file_is_fetched_from_another_process() -> None:
    reader, writer = os.pipe()
    pid, fd = clone3()
    if pid == 0:
        os.write(writer, b"x")
        os.read(reader, 0)
        signal.pause()
        os._exit(0)
    try:
        copied = pidfd.pidfd_getfd(fd, reader)
        assert os.read(copied, 1) == b"x"
        os.close(copied)
    finally:
        pidfd.pidfd_send_signal(fd, signal.SIGKILL)
        pidfd.wait(fd)
    for each in (reader, writer, fd):
        os.close(each)


def test_what_python_ignores_has_its_default_again_before_exec() -> None:
    assert {signal.SIGPIPE, signal.SIGXFSZ} <= set(signals.IGNORED_AT_START)
    pid, fd = clone3()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        signals.reset_for_exec()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        os._exit(0 if not blocked and signal.getsignal(signal.SIGPIPE) is signal.SIG_DFL else 1)
    assert pidfd.wait(fd) == 0
    os.close(fd)


def test_unlimited_is_the_largest_number() -> None:
    soft, hard = rlimits.prlimit(0, rlimits.NUMBERS["RLIMIT_CORE"])
    assert 0 <= soft <= hard <= rlimits.UNLIMITED
    assert rlimits.prlimit(0, rlimits.NUMBERS["RLIMIT_CORE"], (soft, hard)) == (soft, hard)


def test_a_refused_limit_is_named() -> None:
    with pytest.raises(ValueError, match="limit") as caught:
        rlimits.prlimit(0, rlimits.NUMBERS["RLIMIT_CORE"], (5, 4))
    assert "number 4" in caught.value.__notes__[0]
