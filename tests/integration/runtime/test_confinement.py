"""What a program in a container is, may and may not do."""

import pytest

from moorage.kernel import capabilities
from tests.integration.runtime.bundles import CAPABILITIES, Bundle, Spec

pytestmark = pytest.mark.needs("root")


def status_field(output: str, name: str) -> int:
    """Return a hexadecimal field of /proc/self/status."""
    line = next(line for line in output.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1], 16)


def test_capabilities_are_those_of_the_specification(bundle: Bundle) -> None:
    mask, _ = capabilities.mask_of(CAPABILITIES)
    output = bundle.run("cat", "/proc/self/status").output
    assert [status_field(output, name) for name in ("CapPrm", "CapEff", "CapBnd", "CapInh")] == [mask, mask, mask, 0]


def test_ambient_capabilities_reach_a_plain_user(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["process"]["user"] = {"uid": 1000, "gid": 1000}
        sets = {key: ["CAP_KILL"] for key in ("bounding", "effective", "permitted", "inheritable", "ambient")}
        spec["process"]["capabilities"] = sets

    output = bundle.run("cat", "/proc/self/status", change=change).output
    assert status_field(output, "CapEff") == status_field(output, "CapAmb") == 1 << 5


def test_unknown_capability_only_warns(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["process"]["capabilities"] = {"bounding": ["CAP_NO_SUCH"]}

    outcome = bundle.run("true", change=change)
    assert outcome.code == 0
    assert outcome.warnings == ["ignoring unknown or unavailable capabilities: CAP_NO_SUCH"]


def test_all_capabilities_are_given_as_far_as_the_host_has_them(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["process"]["capabilities"] = {
            key: list(capabilities.NAMES) for key in ("bounding", "effective", "permitted")
        }

    output = bundle.run("cat", "/proc/self/status", change=change).output
    assert status_field(output, "CapEff") == capabilities.grantable()


def test_user_groups_and_umask(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["process"]["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 0o077}

    output = bundle.run("sh", "-c", "id -u; id -g; id -G; umask", change=change).output
    assert output.splitlines() == ["1000", "1001", "1001 5 6", "0077"]


def test_masked_and_read_only_paths(bundle: Bundle) -> None:
    script = "cat /proc/keys; ls /sys/firmware; echo x 2>/dev/null > /proc/sys/kernel/domainname || echo refused"
    assert bundle.run("sh", "-c", script).output == "refused\n"


def test_read_only_root(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["root"]["readonly"] = True

    output = bundle.run(
        "sh", "-c", "echo x > /file || echo refused; echo x > /dev/shm/file && echo taken", change=change
    ).output
    assert output.splitlines()[-2:] == ["refused", "taken"]


def test_seccomp_profile_is_in_force(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 71}],
        }

    outcome = bundle.run("hostname", "other", change=change)
    assert "Protocol error" in outcome.output


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_strict_seccomp_profile_leaves_the_start_alone(bundle: Bundle, no_new_privileges: bool) -> None:
    def change(spec: Spec) -> None:
        spec["process"]["noNewPrivileges"] = no_new_privileges
        allowed = (
            "execve brk arch_prctl capset prctl set_tid_address set_robust_list rseq prlimit64 readlink readlinkat "
        )
        allowed += (
            "getrandom mprotect exit_group exit mmap munmap getuid geteuid getgid uname open openat close read fstat"
        )
        spec["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_KILL_PROCESS",
            "syscalls": [{"names": allowed.split(), "action": "SCMP_ACT_ALLOW"}],
        }

    assert bundle.run("true", change=change).code == 0


def test_no_new_privileges(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["process"]["noNewPrivileges"] = True

    assert "NoNewPrivs:\t1" in bundle.run("cat", "/proc/self/status", change=change).output


def test_rlimits(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]

    assert bundle.run("sh", "-c", "ulimit -Sn; ulimit -Hn", change=change).output.split() == ["100", "200"]


def test_rlimit_that_nobody_can_raise_only_warns(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1 << 40, "hard": 1 << 40}]

    outcome = bundle.run("true", change=change)
    assert outcome.code == 0 or "error setting rlimit" in outcome.error


def test_sysctls_of_own_namespaces(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "77", "kernel.shm_rmid_forced": "1"}

    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced"
    assert bundle.run("sh", "-c", script, change=change).output.split() == ["77", "1"]


def test_oom_score_that_nobody_can_lower_only_warns(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["process"]["oomScoreAdj"] = -900

    outcome = bundle.run("cat", "/proc/self/oom_score_adj", change=change)
    assert outcome.code == 0
    assert outcome.output == "-900\n" or "CAP_SYS_RESOURCE" in outcome.warnings[0]


def test_default_devices_and_links(bundle: Bundle) -> None:
    script = "stat -c '%n %t:%T %a' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty; readlink /dev/ptmx"
    lines = bundle.run("sh", "-c", f"{script} || busybox readlink /dev/ptmx").output.splitlines()
    assert lines[:6] == [
        "/dev/null 1:3 666",
        "/dev/zero 1:5 666",
        "/dev/full 1:7 666",
        "/dev/random 1:8 666",
        "/dev/urandom 1:9 666",
        "/dev/tty 5:0 666",
    ]
    assert lines[-1] == "pts/ptmx"


def test_devices_of_the_specification(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["linux"]["devices"] = [
            {"path": "/dev/some/pipe", "type": "p", "fileMode": 0o640, "uid": 3, "gid": 4},
            {"path": "/dev/fuse2", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600},
        ]

    output = bundle.run("stat", "-c", "%F %a %u %g %t:%T", "/dev/some/pipe", "/dev/fuse2", change=change).output
    assert output.splitlines() == ["fifo 640 3 4 0:0", "character special file 600 0 0 a:e5"]


def test_user_namespace_maps_the_ids(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["linux"]["namespaces"].append({"type": "user"})
        mappings = [{"containerID": 0, "hostID": 0, "size": 1}, {"containerID": 1, "hostID": 100001, "size": 65535}]
        spec["linux"] |= {"uidMappings": mappings, "gidMappings": mappings}

    output = bundle.run("sh", "-c", "cat /proc/self/uid_map; stat -c %t:%T /dev/null; id -u", change=change).output
    assert output.split() == ["0", "0", "1", "1", "100001", "65535", "1:3", "0"]
