"""The default AppArmor profile."""

import re

import pytest

from moorage.engine.apparmor.profile import confined_by, default_profile, is_listed

PROFILE = default_profile(daemon="moord", has=lambda _: True)


def denied(path: str, access: str) -> bool:
    """Tell whether a rule denies an access, with AppArmor's patterns read as its manual says."""
    for pattern, modes in re.findall(r"^  deny (\S*/\S*) (\w+),$", PROFILE, re.MULTILINE):
        expression = re.escape(pattern.replace("@{PROC}", "/proc"))
        for glob, meaning in (
            (r"\*\*", ".*"), (r"\*", "[^/]*"), (r"\?", "[^/]"), (r"\[\^", "[^"), (r"\[", "["), (r"\]", "]"),
            (r"\{", "("), (r"\}", ")"), (",", "|"), (r"\-", "-"),
        ):  # fmt: skip
            expression = expression.replace(glob, meaning)
        if access in modes and re.fullmatch(expression, path):
            return True
    return False


@pytest.mark.parametrize(
    "path",
    [
        "/proc/kmsg", "/proc/irq/1/smp_affinity", "/proc/bus/pci/00", "/proc/acpi/wakeup", "/proc/scsi/scsi",
        "/proc/sysvipc/shm", "/proc/sys/fs/file-max", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/vm/drop_caches",
        "/proc/sys/k/x", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/sysrq", "/proc/sys/kernel/sh",
        "/proc/sys/kernel/yama/ptrace_scope", "/sys/kernel/uevent_helper", "/sys/fs/bpf/x", "/sys/f/x", "/sys/fsx/y",
        "/sys/module/x/parameters/y", "/sys/fs/c/x", "/sys/devices/system/cpu/online",
    ],
)  # fmt: skip
def test_what_is_the_hosts_can_not_be_written(path: str) -> None:
    assert denied(path, "w")
    assert not denied(path, "r")


@pytest.mark.parametrize(
    "path",
    [
        "/proc/1/attr/current", "/proc/77/oom_score_adj", "/proc/9/task/9/comm", "/proc/sys/kernel/shmmax",
        "/proc/sys/kernel/shm_rmid_forced", "/sys/fs/cgroup/memory/x", "/sys/fs/cgroup/cgroup.procs", "/etc/passwd",
        "/processes/x", "/system/x",
    ],
)  # fmt: skip
def test_what_is_the_containers_can_be_written(path: str) -> None:
    assert not denied(path, "w")


@pytest.mark.parametrize(
    "path", ["/proc/kcore", "/proc/sysrq-trigger", "/sys/firmware/acpi/tables", "/sys/devices/virtual/powercap/x"]
)
def test_some_files_can_not_even_be_read(path: str) -> None:
    assert denied(path, "r")


def test_signals_come_from_the_daemon_and_from_inside() -> None:
    assert 'signal (receive) peer="moord",' in PROFILE
    assert 'signal (receive) peer="unconfined",' in PROFILE
    assert 'signal (send,receive) peer="docker-default",' in PROFILE
    assert default_profile(daemon="", has=lambda _: True).count('peer="unconfined"') == 1


def test_what_the_host_lacks_is_not_included() -> None:
    assert "abi <abi/3.0>,\n#include <tunables/global>\nprofile" in PROFILE
    bare = default_profile(daemon="", has=lambda _: False)
    assert "include" not in bare
    assert "abi <" not in bare
    assert "@{PROC}=/proc/\n" in bare


def test_a_loaded_profile_is_found_by_its_whole_name() -> None:
    assert is_listed("x (enforce)\ndocker-default (complain)\n")
    assert not is_listed("docker-default-2 (enforce)\nmy docker-default (enforce)\n")


@pytest.mark.parametrize(
    ("label", "name"), [("unconfined\n", "unconfined"), ("a b (enforce)\n", "a b"), ("x (complain)\0", "x"), ("", "")]
)
def test_the_label_of_a_process_names_its_profile(label: str, name: str) -> None:
    assert confined_by(label) == name
