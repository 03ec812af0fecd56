"""Seccomp profiles: the default one and a user's own."""

from typing import Any

import msgspec
import pytest

from moorage.engine.bundles.capabilities import DEFAULT_CAPABILITIES
from moorage.engine.bundles.seccomp import InvalidSeccompProfileError, custom_profile, default_profile

KERNEL = (6, 1)


def allowed(*capabilities: str, architecture: str = "amd64") -> set[str]:
    """Return the calls that are allowed whatever their arguments are."""
    profile = default_profile(capabilities, architecture=architecture)
    return {
        name
        for rule in profile["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
        for name in rule["names"]
    }


@pytest.mark.parametrize(
    ("capability", "calls"),
    [
        ("CAP_SYS_ADMIN", {"mount", "setns", "unshare", "bpf", "clone3", "lsm_set_self_attr"}),
        ("CAP_SYS_BOOT", {"reboot"}),
        ("CAP_SYS_MODULE", {"init_module", "finit_module", "delete_module"}),
        ("CAP_SYS_PTRACE", {"kcmp", "pidfd_getfd", "process_madvise"}),
        ("CAP_SYS_NICE", {"mbind", "get_mempolicy", "set_mempolicy"}),
        ("CAP_DAC_READ_SEARCH", {"open_by_handle_at"}),
        ("CAP_SYS_TIME", {"settimeofday", "clock_settime"}),
        ("CAP_PERFMON", {"perf_event_open"}),
        ("CAP_BPF", {"bpf"}),
    ],
)
def test_a_capability_opens_its_system_calls(capability: str, calls: set[str]) -> None:
    assert not calls & allowed(*DEFAULT_CAPABILITIES)
    assert calls <= allowed(*DEFAULT_CAPABILITIES, capability)


@pytest.mark.parametrize(
    "call", ["keyctl", "add_key", "request_key", "userfaultfd", "kexec_load", "swapon", "nfsservctl", "io_uring_setup"]
)
def test_some_calls_stay_shut_without_their_capability(call: str) -> None:
    assert call not in allowed(*DEFAULT_CAPABILITIES)


def test_ordinary_programs_may_trace_wait_and_watch() -> None:
    wanted = {"ptrace", "process_vm_readv", "epoll_pwait2", "fanotify_mark", "openat2", "rseq", "futex_waitv"}
    assert wanted <= allowed(*DEFAULT_CAPABILITIES)


def test_namespaces_and_address_families_are_judged_by_argument() -> None:
    rules = default_profile(DEFAULT_CAPABILITIES, architecture="amd64")["syscalls"]
    clone = next(rule for rule in rules if rule["names"] == ["clone"])
    assert clone["args"] == [{"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
    clone3 = next(rule for rule in rules if rule["names"] == ["clone3"])
    assert (clone3["action"], clone3["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)
    families = [rule["args"][0] for rule in rules if rule["names"] == ["socket"]]
    assert [(entry["op"], entry["value"]) for entry in families] == [
        ("SCMP_CMP_LT", 38), ("SCMP_CMP_EQ", 39), ("SCMP_CMP_GT", 40),
    ]  # fmt: skip


def test_a_processor_has_calls_of_its_own() -> None:
    assert "cacheflush" in allowed(architecture="arm64")
    assert "cacheflush" not in allowed(architecture="amd64")


def custom(kernel: tuple[int, int] = KERNEL, **profile: Any) -> dict[str, Any] | None:
    text = msgspec.json.encode({"defaultAction": "SCMP_ACT_ERRNO", **profile}).decode()
    return custom_profile(text, ["CAP_CHOWN"], architecture="amd64", kernel=kernel)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({}, True),
        ({"includes": {"caps": ["CAP_SYS_ADMIN"]}}, False),
        ({"includes": {"caps": ["CAP_CHOWN"]}}, True),
        ({"excludes": {"caps": ["CAP_CHOWN", "CAP_KILL"]}}, False),
        ({"includes": {"arches": ["arm64"]}}, False),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"includes": {"minKernel": "6.1"}}, True),
        ({"includes": {"minKernel": "6.2"}}, False),
        ({"includes": {"minKernel": "10.0"}}, False),
        ({"excludes": {"minKernel": "4.8"}}, False),
        ({"excludes": {"minKernel": "6.2"}}, True),
        ({"includes": {}, "excludes": {}}, True),
    ],
)
def test_a_rule_holds_under_its_conditions(condition: dict[str, Any], holds: bool) -> None:
    rule = {"names": ["read"], "action": "SCMP_ACT_ALLOW", "comment": "why", **condition}
    profile = custom(syscalls=[rule])
    assert profile is not None
    assert profile["syscalls"] == ([{"names": ["read"], "action": "SCMP_ACT_ALLOW"}] if holds else [])


def test_everything_else_of_a_profile_is_passed_on() -> None:
    argument = {"index": 1, "value": 2, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}
    profile = custom(
        defaultErrnoRet=5,
        archMap=[
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
        ],
        flags=["SECCOMP_FILTER_FLAG_LOG"],
        syscalls=[{"name": "chmod", "action": "SCMP_ACT_ERRNO", "errnoRet": 7, "args": [argument]}],
    )
    assert profile == {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 5,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [{"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 7, "args": [argument]}],
    }


def test_an_empty_profile_filters_nothing() -> None:
    assert custom_profile("{}", [], architecture="amd64", kernel=KERNEL) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Decoding seccomp profile failed"),
        ("not json", "Decoding seccomp profile failed"),
        ("[]", "Decoding seccomp profile failed"),
        ('{"defaultAction": 3}', "Decoding seccomp profile failed"),
        (
            '{"defaultAction": "x", "architectures": ["a"], "archMap": [{"architecture": "b"}]}',
            "both 'architectures' and 'archMap' are specified in the seccomp profile",
        ),
        (
            '{"defaultAction": "x", "syscalls": [{"name": "a", "names": ["b"], "action": "y"}]}',
            "both 'name' and 'names' are specified in the seccomp profile",
        ),
        (
            '{"defaultAction": "x", "syscalls": [{"names": ["b"], "action": "y", "includes": {"minKernel": "6"}}]}',
            'invalid kernel version: "6", expected "<kernel>.<major>"',
        ),
    ],
)
def test_a_broken_profile_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidSeccompProfileError, match=message):
        custom_profile(text, [], architecture="amd64", kernel=KERNEL)
