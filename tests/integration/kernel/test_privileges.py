"""Namespaces, capabilities, filters and keyrings, each tried in a child that takes them along."""

import ctypes
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moorage.kernel import capabilities, keyring, libc, libseccomp, namespaces, pidfd, prctl, sched, seccomp
from moorage.kernel.namespaces import CloneFlag

pytestmark = pytest.mark.needs("root")


def in_child(body: Callable[[], bool], flags: int = 0) -> bool:
    """Run `body` in a clone and return what it returned; an exception is false."""
    pid, fd = namespaces.clone3(flags)
    if pid == 0:
        status = 1
        try:
            status = 0 if body() else 2
        finally:
            os._exit(status)
    code = pidfd.wait(fd)
    os.close(fd)
    return code == 0


def test_a_clone_starts_in_new_namespaces() -> None:
    flags = CloneFlag.NEWPID | CloneFlag.NEWUTS | CloneFlag.NEWNET | CloneFlag.NEWIPC | CloneFlag.NEWNS
    host = socket.gethostname()

    def body() -> bool:
        namespaces.sethostname("moored")
        namespaces.setdomainname("harbour")
        return os.getpid() == 1 and socket.gethostname() == "moored" and not socket.if_nameindex()[1:]

    assert in_child(body, flags)
    assert socket.gethostname() == host


def test_a_namespace_is_joined_by_its_file_and_by_a_pidfd() -> None:
    ready, go = os.pipe(), os.pipe()
    pid, target_fd = namespaces.clone3(CloneFlag.NEWUTS)
    if pid == 0:
        namespaces.sethostname("target")
        os.write(ready[1], b"x")
        os.close(go[1])
        os.read(go[0], 1)
        os._exit(0)
    os.read(ready[0], 1)

    def by_pidfd() -> bool:
        namespaces.setns(target_fd, CloneFlag.NEWUTS)
        return socket.gethostname() == "target"

    def by_file() -> bool:
        namespaces.setns(namespaces.open_namespace(pid, "uts"), CloneFlag.NEWUTS)
        return socket.gethostname() == "target"

    try:
        assert in_child(by_pidfd)
        assert in_child(by_file)
    finally:
        os.close(go[1])
        pidfd.wait(target_fd)
        for fd in (*ready, go[0], target_fd):
            os.close(fd)


def test_what_is_dropped_from_the_bounding_set_is_no_longer_grantable() -> None:
    kill = 1 << capabilities.NUMBERS["CAP_KILL"]

    def body() -> bool:
        capabilities.drop_bounding(kill)
        return not capabilities.grantable() & kill and bool(capabilities.capget()[1] & kill)

    assert in_child(body)


def test_ambient_capabilities_are_raised_and_cleared() -> None:
    chown = 1 << capabilities.NUMBERS["CAP_CHOWN"]

    def body() -> bool:
        effective, permitted, _ = capabilities.capget()
        capabilities.capset(effective, permitted, chown)
        capabilities.raise_ambient(chown)
        raised = capabilities.ambient_set() == chown
        capabilities.clear_ambient()
        return raised and capabilities.ambient_set() == 0

    assert in_child(body)


def test_process_attributes_are_set() -> None:
    def body() -> bool:
        prctl.set_dumpable(dumpable=False)
        prctl.set_name("a name longer than fifteen bytes")
        prctl.set_keep_capabilities(keep=True)
        prctl.set_child_subreaper(reap=True)
        prctl.set_parent_death_signal(9)
        prctl.set_no_new_privs()
        comm = Path("/proc/self/comm").read_text()
        return not prctl.is_dumpable() and prctl.has_no_new_privs() and comm == "a name longer t\n"

    assert in_child(body)


PROFILE: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {"names": ["getppid", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
        {
            "names": ["personality"],
            "action": "SCMP_ACT_ERRNO",
            "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}],
        },
    ],
}


def error_of(number: int, *arguments: int) -> int:
    ctypes.set_errno(0)
    return ctypes.get_errno() if libc.syscall(number, *arguments) < 0 else 0


def test_a_filter_answers_as_the_profile_says() -> None:
    bpf = libseccomp.compile_profile(PROFILE)
    getppid = libc.syscall_number(x86_64=110, generic=173)
    personality = libc.syscall_number(x86_64=135, generic=92)

    def body() -> bool:
        seccomp.load(bpf, seccomp.filter_flags(PROFILE))
        return (
            prctl.seccomp_mode() == 2
            and error_of(getppid) == errno.EOPNOTSUPP
            and error_of(personality, 8) == errno.EPERM
            and error_of(personality, 0) == 0
        )

    assert in_child(body)


def test_a_call_that_the_profile_is_too_old_for_does_not_exist() -> None:
    names = ["exit_group", "rt_sigaction", "write", "close", "munmap", "brk", "futex", "openat2"]
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]}
    bpf = libseccomp.compile_profile(profile)
    getppid = libc.syscall_number(x86_64=110, generic=173)

    def body() -> bool:
        seccomp.load(bpf)
        return error_of(999) == errno.ENOSYS and error_of(getppid) == errno.EPERM

    assert in_child(body)


def test_a_listener_is_handed_out_for_a_notify_action() -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]}
    bpf = libseccomp.compile_profile(profile)

    def body() -> bool:
        return seccomp.load(bpf, seccomp.filter_flags(profile)) > 2

    assert in_child(body)


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"defaultAction": "SCMP_ACT_MAYBE"}, "SCMP_ACT_MAYBE"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_PDP11"]}, "SCMP_ARCH_PDP11"),
        (
            {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [
                    {"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "LIKE"}]}
                ],
            },
            "LIKE",
        ),
    ],
)
def test_what_is_wrong_in_a_profile_is_named(profile: dict[str, Any], message: str) -> None:
    with pytest.raises(seccomp.SeccompError, match=message):
        libseccomp.compile_profile(profile)


@pytest.mark.parametrize("action", sorted(libseccomp.ACTIONS))
def test_every_action_compiles(action: str) -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mount"], "action": action}]}
    assert len(libseccomp.compile_profile(profile)) % 8 == 0


def test_flags_of_the_future_are_unknown() -> None:
    assert seccomp.flag_is_known(seccomp.FLAGS["SECCOMP_FILTER_FLAG_LOG"])
    assert not seccomp.flag_is_known(1 << 30)


def test_a_session_keyring_is_joined() -> None:
    def body() -> bool:
        key = keyring.join_session_keyring("_ses.moorage-test")
        kind, _, _, permissions, name = keyring.describe(keyring.session_keyring())
        keyring.set_permissions(key, permissions | 0x80000)
        return (kind, name) == ("keyring", "_ses.moorage-test") and keyring.describe(key)[3] & 0x80000 != 0

    assert in_child(body)


def test_scheduling_is_set() -> None:
    def body() -> bool:
        sched.sched_setattr(0, sched.attributes(sched.Policy.SCHED_BATCH, nice=5))
        sched.ioprio_set(0, sched.IoClass.IOPRIO_CLASS_BE, 6)
        sched.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        policy, _, nice, _ = sched.sched_getattr(0)
        return (policy, nice) == (3, 5) and sched.ioprio_get(0) == (2, 6) and len(os.sched_getaffinity(0)) == 1

    assert in_child(body)
