"""What containers may do, and what no container may: with the real command line."""

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.daemon import CommandError, Daemon, wait_until

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

# The host's own interpreter, shown read-only, is a program that can make any system call.
_WITNESS_MOUNTS: Final = [f"-v={path}:{path}:ro" for path in ("/usr", "/lib", "/lib64") if Path(path).is_dir()]
_NUMBERS: Final = {
    "x86_64": {
        "keyctl": 250, "add_key": 248, "bpf": 321, "open_by_handle_at": 304, "perf_event_open": 298,
        "userfaultfd": 323, "io_uring_setup": 425, "clone3": 435, "pidfd_getfd": 438, "kexec_load": 246,
    },
    "aarch64": {
        "keyctl": 219, "add_key": 217, "bpf": 280, "open_by_handle_at": 265, "perf_event_open": 241,
        "userfaultfd": 282, "io_uring_setup": 425, "clone3": 435, "pidfd_getfd": 438, "kexec_load": 104,
    },
}  # fmt: skip
_WITNESS: Final = """
import ctypes, errno, json, sys
libc = ctypes.CDLL(None, use_errno=True)
found = {}
def note(name, result):
    found[name] = errno.errorcode.get(ctypes.get_errno(), "?") if result == -1 else "done"
for name, number in json.loads(sys.argv[1]).items():
    note(name, libc.syscall(number, 0, 0, 0, 0, 0, 0))
note("mount", libc.mount(b"none", b"/mnt", b"tmpfs", 0, None))
note("unshare user", libc.unshare(0x10000000))
note("unshare files", libc.unshare(0x400))
note("setns", libc.setns(0, 0))
note("personality", libc.personality(0x0040000))
note("AF_VSOCK", libc.socket(40, 1, 0))
note("AF_ALG", libc.socket(38, 5, 0))
note("AF_INET", libc.socket(2, 1, 0))
note("ptrace", libc.ptrace(0, 0, 0, 0))
print(json.dumps(found))
"""


def _witness(moord: Daemon, *flags: str) -> dict[str, str]:
    """Make system calls in a container and return how each went."""
    python = Path(sys.base_prefix)
    program = f"/python/bin/python3.{sys.version_info.minor}"
    output = moord.docker(
        "run", "--rm", *flags, *_WITNESS_MOUNTS, "-v", f"{python}:/python:ro", "-e", "PYTHONHOME=/python",
        "-e", "LD_LIBRARY_PATH=/python/lib", "busybox", program, "-S", "-c", _WITNESS,
        json.dumps(_NUMBERS[platform.machine()]),
    )  # fmt: skip
    found: dict[str, str] = json.loads(output)
    return found


def test_the_default_filter_shuts_what_is_the_hosts(moord: Daemon) -> None:
    found = _witness(moord)
    allowed = {"AF_INET", "ptrace", "unshare files"}
    assert found.pop("clone3") == "ENOSYS"
    assert {name for name, result in found.items() if result != "EPERM"} - allowed == set()
    assert (found["AF_INET"], found["ptrace"]) == ("done", "done")


def test_a_filter_of_ones_own_or_none(moord: Daemon) -> None:
    assert _witness(moord, "--security-opt", "seccomp=unconfined")["keyctl"] != "EPERM"
    profile = moord.base / "profile.json"
    rule = {"names": ["ptrace"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95, "includes": {"minKernel": "4.8"}}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    found = _witness(moord, "--security-opt", f"seccomp={profile}")
    assert (found["ptrace"], found["AF_INET"]) == ("ENOTSUP", "done")
    profile.write_text(
        '{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["a"], "archMap": [{"architecture": "b"}]}'
    )
    done = moord.run("run", "--rm", "--security-opt", f"seccomp={profile}", "busybox", "true")
    assert done.returncode == 125
    assert "both 'architectures' and 'archMap' are specified in the seccomp profile" in done.stderr


def _capabilities(moord: Daemon, *flags: str) -> int:
    status = moord.docker("run", "--rm", *flags, "busybox", "grep", "CapBnd", "/proc/self/status")
    return int(status.split()[1], 16)


def test_capabilities_are_added_and_dropped(moord: Daemon) -> None:
    default = _capabilities(moord)
    assert default == 0xA80425FB
    assert _capabilities(moord, "--cap-drop", "ALL", "--cap-add", "chown", "--cap-add", "CAP_KILL") == 1 << 0 | 1 << 5
    assert _capabilities(moord, "--cap-drop", "cap_mknod") == default & ~(1 << 27)
    most = _capabilities(moord, "--privileged")
    assert _capabilities(moord, "--cap-add", "ALL") == most
    assert _capabilities(moord, "--cap-add", "ALL", "--cap-drop", "net_raw") == most & ~(1 << 13)
    done = moord.run("run", "--rm", "--cap-add", "fly", "busybox", "true")
    assert 'invalid CapAdd: unknown capability: "CAP_FLY"' in done.stderr


def test_system_paths_are_masked_unless_told_otherwise(moord: Daemon) -> None:
    script = (
        "wc -c < /proc/keys; ls /sys/firmware | wc -l; wc -c < /proc/interrupts; echo x > /proc/sys/kernel/hostname"
    )
    done = moord.run("run", "--name", "masked", "busybox", "sh", "-c", script)
    assert done.stdout.split() == ["0", "0", "0"]
    assert "Read-only file system" in done.stderr
    unconfined = ["--security-opt", "systempaths=unconfined"]
    seen = moord.docker(
        "run", "--name", "open", *unconfined, "busybox", "sh", "-c", "head -c 9 /proc/interrupts | wc -c"
    )
    assert seen == "9"
    moord.docker("create", "--name", "full", "--privileged", "busybox")
    shown = [json.loads(moord.inspect(name, "json .HostConfig.MaskedPaths")) for name in ("masked", "open", "full")]
    assert {"/proc/kcore", "/proc/interrupts", "/sys/firmware", "/sys/devices/virtual/powercap"} <= set(shown[0])
    assert shown[1:] == [[], None]
    assert json.loads(moord.inspect("open", "json .HostConfig.ReadonlyPaths")) == []


def test_no_node_of_the_host_can_be_changed_by_root_inside(moord: Daemon) -> None:
    null = Path("/dev/null")
    before = null.stat()
    moord.docker("run", "-d", "--name", "changing", "busybox", "sleep", "1000")
    change = "for f in {}; do chmod 667 $f; chown 7:7 $f; done 2>/dev/null; echo x > /proc/keys"
    try:
        # Those of an exec are null devices, too, but for its output.
        for files in ("/proc/keys /proc/timer_list", "/proc/self/fd/0"):
            moord.docker("exec", "changing", "sh", "-c", change.format(files))
        # Without a client, it has all three.
        script = change.format("/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2") + "; echo done > /finished"
        moord.docker("exec", "-d", "changing", "sh", "-c", script)
        wait_until(lambda: moord.run("exec", "changing", "cat", "/finished").stdout == "done\n", what="the exec")
        after = null.stat()
    finally:
        os.chown(null, before.st_uid, before.st_gid)
        null.chmod(before.st_mode & 0o7777)
    seen = [(status.st_mode, status.st_uid) for status in (before, after)]
    assert seen[0] == seen[1]


def test_paths_to_mask_can_be_chosen_through_the_api(moord: Daemon) -> None:
    paths = {"MaskedPaths": ["/etc/passwd", "/no/such"], "ReadonlyPaths": ["/tmp"]}
    command = ["sh", "-c", "wc -c < /etc/passwd; touch /tmp/x; head -c 9 /proc/interrupts | wc -c"]
    moord.api("POST", "/containers/create?name=chosen", {"Image": "busybox", "Cmd": command, "HostConfig": paths})
    done = moord.run("start", "-a", "chosen")
    assert done.stdout.split() == ["0", "9"]
    assert "Read-only file system" in done.stderr


def test_set_user_id_gains_nothing_without_new_privileges(moord: Daemon) -> None:
    # busybox gives up the privilege by itself, so the host's own cat it is.
    script = (
        "cp /usr/bin/cat /suid; chmod 4755 /suid; echo secret > /file; chmod 600 /file; /bin/su user -c '/suid /file'"
    )
    flags = ["run", "--rm", *_WITNESS_MOUNTS]
    assert moord.docker(*flags, "busybox", "sh", "-c", script) == "secret"
    for option in ("no-new-privileges", "no-new-privileges=true"):
        assert "ermission denied" in moord.run(*flags, "--security-opt", option, "busybox", "sh", "-c", script).stderr


def test_devices_made_inside_can_not_be_used(moord: Daemon) -> None:
    script = "mknod /mem c 1 1 && dd if=/mem of=/out count=1; mknod /n c 1 3 && echo > /n"
    done = moord.run("run", "--rm", "busybox", "sh", "-c", script)
    assert done.returncode == 0
    assert "Operation not permitted" in done.stderr


def test_control_groups_release_no_agent(moord: Daemon) -> None:
    files = "$(find /sys/fs/cgroup -name release_agent) /sys/fs/cgroup/cgroup.procs"
    script = f"for f in {files}; do echo x > $f && echo WROTE; done; true"
    assert "WROTE" not in moord.docker("run", "--rm", "busybox", "sh", "-c", script)
    mount = "mkdir /m && mount -t cgroup -o memory cgroup /m || mount -t cgroup2 none /m"
    assert moord.run("run", "--rm", "busybox", "sh", "-c", mount).returncode != 0


def _commit(moord: Daemon, name: str, script: str) -> None:
    moord.docker("run", "--name", f"{name}-maker", "busybox", "sh", "-c", script)
    moord.docker("commit", f"{name}-maker", name)


def test_links_of_an_image_lead_nowhere_on_the_host(moord: Daemon) -> None:
    target = moord.base / "target"
    target.mkdir()
    (moord.base / "secret").write_text("of the host")
    up = "../" * 12
    _commit(moord, "linked", f"ln -s {up}{target} /dir; ln -s {up}{moord.base}/secret /file; ln -s / /root-link")
    moord.docker("run", "--rm", "-v", "escape:/dir", "linked", "touch", "/dir/x")
    moord.docker("run", "--rm", "--tmpfs", "/dir", "linked", "touch", "/dir/x")
    assert list(target.iterdir()) == []
    assert str(target) not in moord.in_network("cat", "/proc/self/mountinfo")
    moord.docker("create", "--name", "unborn", "linked")
    assert moord.run("cp", "unborn:/file/.", "-").returncode != 0
    assert "of the host" not in moord.run("run", "--rm", "linked", "cat", "/file").stdout
    source = moord.base / "copied"
    source.write_text("y")
    moord.run("cp", str(source), "unborn:/dir/copied")
    assert list(target.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["-v", "/srv:/proc/self"], '"/proc/self" cannot be mounted because it is inside /proc'),
        (["-v", "/srv:/proc/sys/kernel"], '"/proc/sys/kernel" cannot be mounted because it is inside /proc'),
        (["-v", "/srv:/proc"], '"/proc" cannot be mounted because it is not of type proc'),
        (["--tmpfs", "/proc"], '"/proc" cannot be mounted because it is not of type proc'),
    ],
)
def test_proc_can_not_be_covered(moord: Daemon, flags: list[str], text: str) -> None:
    done = moord.run("run", "--rm", *flags, "busybox", "true")
    assert done.returncode != 0
    assert text in done.stderr


def test_a_linked_proc_is_refused(moord: Daemon) -> None:
    archive = moord.base / "proc.tar"
    root = moord.base / "proc-root"
    root.mkdir()
    (root / "proc").symlink_to("elsewhere")
    moord.in_network("tar", "-C", str(root), "-cf", str(archive), ".")
    moord.docker("import", str(archive), "linked-proc")
    done = moord.run("run", "--rm", "linked-proc", "true")
    assert done.returncode != 0
    assert "/proc" in done.stderr


def test_no_descriptor_of_the_host_is_a_working_directory(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "long", "busybox", "sleep", "1000")
    for number in (3, 5, 7, 8, 9, 11):
        flags = ["-w", f"/proc/self/fd/{number}"]
        for done in (
            moord.run("run", "--rm", *flags, "busybox", "ls", f"../../../../../..{moord.base}"),
            moord.run("exec", *flags, "long", "ls", f"../../../../../..{moord.base}"),
        ):
            assert done.returncode != 0, (number, done.stdout)


def test_the_runtime_can_not_be_overwritten_from_inside(moord: Daemon) -> None:
    interpreter = Path(os.path.realpath(sys.executable))
    before = interpreter.stat()
    _commit(moord, "hostile", "printf '#!/proc/self/exe\\n' > /run-me; chmod 755 /run-me")
    moord.run("run", "--rm", "hostile", "/run-me")
    overwrite = "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || echo evil > $p/exe; done; done"
    moord.docker("run", "-d", "--name", "waiting", "hostile", "sh", "-c", overwrite)
    for _ in range(5):
        moord.run("exec", "waiting", "/proc/self/exe", "-c", "import time; time.sleep(0.1)")
    after = interpreter.stat()
    assert (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    assert moord.docker("run", "--rm", "busybox", "echo", "alive") == "alive"


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--ipc", "container:closed"], "non-shareable IPC (hint: use IpcMode:shareable for the donor container)"),
        (["--ipc", "container:ended"], "failed to join IPC namespace: container "),
        (["--pid", "container:ended"], "failed to join PID namespace: container "),
        (
            ["--network", "container:ended"],
            "cannot join network namespace of a non running container: container ended is exited",
        ),
        (
            ["--network", "host", "--sysctl", "net.ipv4.ip_forward=1"],
            'sysctl "net.ipv4.ip_forward" not allowed in host network namespace',
        ),
        (
            ["--ipc", "host", "--sysctl", "kernel.msgmax=9"],
            'sysctl "kernel.msgmax" is not allowed in the hosts ipc namespace',
        ),
        (["--uts", "host", "--hostname", "other"], "conflicting options: hostname and the UTS mode"),
    ],
)
def test_refusals_of_namespaces(moord: Daemon, flags: list[str], text: str) -> None:
    moord.docker("run", "-d", "--name", "closed", "busybox", "sleep", "1000")
    moord.docker("run", "--name", "ended", "busybox", "true")
    done = moord.run("run", "--rm", *flags, "busybox", "true")
    assert done.returncode in {125, 126, 127}
    assert text in done.stderr


@pytest.mark.parametrize("kind", ["Pid", "Ipc"])
def test_a_namespace_that_is_gone_is_no_fault_of_who_wants_to_join_it(moord: Daemon, kind: str) -> None:
    gone = moord.docker("create", "--name", "gone", "busybox", "true")
    body = {"Image": "busybox", "HostConfig": {f"{kind}Mode": "container:gone"}}
    joining = json.loads(moord.api("POST", "/containers/create", body))["Id"]
    answer = moord.api("POST", f"/containers/{joining}/start", check=False)
    assert json.loads(answer)["message"] == f"failed to join {kind.upper()} namespace: container {gone} is not running"
    with pytest.raises(CommandError, match=": 500 "):
        moord.api("POST", f"/containers/{joining}/start")


def test_namespaces_names_and_groups(moord: Daemon) -> None:
    script = "cat /proc/sys/kernel/domainname; id -G; readlink /proc/self/ns/cgroup"
    output = moord.docker(
        "run", "--rm", "--domainname", "lab", "--group-add", "extra", "--group-add", "77", "--cgroupns", "private",
        "busybox", "sh", "-c", script,
    ).splitlines()  # fmt: skip
    assert output[:2] == ["lab", "0 77 2000"]
    assert output[2] != str(Path("/proc/self/ns/cgroup").readlink())
    host = moord.docker("run", "--rm", "--cgroupns", "host", "busybox", "readlink", "/proc/self/ns/cgroup")
    assert host == str(Path("/proc/self/ns/cgroup").readlink())


def test_a_read_only_root_leaves_what_is_mounted(moord: Daemon) -> None:
    script = "touch /x || touch /tmp/x && touch /dev/shm/x && echo only there"
    assert moord.docker("run", "--rm", "--read-only", "--tmpfs", "/tmp", "busybox", "sh", "-c", script) == "only there"


def test_what_the_host_lacks_is_warned_about(moord: Daemon) -> None:
    if "name=apparmor" in moord.docker("info", "-f", "{{.SecurityOptions}}"):
        pytest.skip("this host has AppArmor")
    body: dict[str, Any] = {"Image": "busybox", "HostConfig": {"SecurityOpt": ["apparmor=mine", "label=type:x"]}}
    answer = json.loads(moord.api("POST", "/containers/create?name=warned", body))
    assert [text.split()[0] for text in answer["Warnings"]] == ["AppArmor", "SELinux"]
    assert moord.run("start", "-a", "warned").returncode == 0
    assert moord.inspect("warned", ".AppArmorProfile") == ""
