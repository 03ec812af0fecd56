"""User namespaces: the whole daemon's, and a container's own."""

import json
import subprocess
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.daemon import CommandError, Daemon, daemon
from tests.support.slowness import stretched

pytestmark = [
    pytest.mark.needs("root", "overlay", "idmap", "docker-cli", "busybox"),
    pytest.mark.timeout(180),
]

_FIRST = 100000


@pytest.fixture(scope="module")
def remapped() -> Iterator[Daemon]:
    """A daemon that maps root of containers to somebody else."""
    with daemon() as made:
        _set_ids_aside(made)
        made.start("--userns-remap", "daemon")
        made.load_busybox()
        yield made
        if containers := made.docker("ps", "-aq").split():
            made.docker("rm", "-fv", *containers)
        made.assert_no_leaks()


def _give_etc(moord: Daemon) -> None:
    """Let the daemon have a changeable /etc that is not the host's."""
    moord.in_network("mount", "-t", "tmpfs", "tmpfs", "/mnt")
    moord.in_network("mkdir", "/mnt/upper", "/mnt/work")
    options = "lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work"
    moord.in_network("mount", "-t", "overlay", "overlay", "-o", options, "/etc")


def _set_ids_aside(moord: Daemon) -> None:
    """Let the user `daemon` have IDs for containers."""
    _give_etc(moord)
    for name in ("subuid", "subgid"):
        moord.in_network("sh", "-c", f"echo daemon:{_FIRST}:65536 > /etc/{name}")


def _owners(archive: bytes) -> dict[str, tuple[int, int]]:
    with tarfile.open(fileobj=BytesIO(archive)) as opened:
        return {member.name: (member.uid, member.gid) for member in opened}


def _docker_bytes(moord: Daemon, *words: str) -> bytes:
    return subprocess.run(
        ["docker", "-H", f"unix://{moord.socket}", *words], check=True, capture_output=True, timeout=stretched(60)
    ).stdout


def test_a_container_is_root_of_its_files_and_nobody_on_the_host(remapped: Daemon) -> None:
    assert "name=userns" in json.loads(remapped.docker("info", "-f", "{{json .SecurityOptions}}"))
    script = (
        "id -u; cat /proc/self/uid_map; echo 1 > /new; rm /bin/vi; chown 5:6 /new; echo y >> /etc/hosts; "
        "echo said > /dev/stdout; touch /dev/shm/x /vol/made; chown 7:8 /vol/made; stat -c %u:%g /new /vol /etc/hosts; "
        "sleep 1000"
    )
    remapped.docker("run", "-d", "--name", "web", "-v", "vol:/vol", "-p", "80", "busybox", "sh", "-c", script)
    remapped.docker("exec", "web", "sh", "-c", "until [ -e /vol/made ]; do sleep 0.1; done; sleep 0.2")
    lines = remapped.docker("logs", "web").split()
    assert lines == ["0", "0", str(_FIRST), "65536", "said", "5:6", "0:0", "0:0"]
    pid = remapped.inspect("web", ".State.Pid")
    assert Path(f"/proc/{pid}").stat().st_uid == _FIRST
    assert (remapped.data_root / "volumes/vol/_data/made").stat().st_uid == 7
    assert remapped.docker("exec", "-u", "user", "web", "id", "-u") == "1000"
    assert remapped.docker("exec", "-t", "web", "tty") == "/dev/pts/0"


def test_files_are_copied_with_the_containers_own_numbers(remapped: Daemon) -> None:
    remapped.docker("run", "-d", "--name", "files", "busybox", "sh", "-c", "mkdir /own; chown 5:6 /own; sleep 1000")
    remapped.docker("exec", "files", "sh", "-c", 'until [ -n "$(find /own -user 5)" ]; do sleep 0.1; done')
    source = remapped.base / "source"
    source.write_text("x")
    remapped.docker("cp", str(source), "files:/own/copied")
    assert remapped.docker("exec", "files", "stat", "-c", "%u:%g", "/own", "/own/copied") == "5:6\n0:0"
    assert _owners(_docker_bytes(remapped, "cp", "files:/own", "-")) == {"own": (5, 6), "own/copied": (0, 0)}
    exported = _owners(_docker_bytes(remapped, "export", "files"))
    assert (exported["own"], exported["own/copied"], exported["bin/busybox"]) == ((5, 6), (0, 0), (0, 0))
    assert "A /own" in remapped.docker("diff", "files").splitlines()
    remapped.docker("commit", "files", "committed")
    # The image is everybody's: the host's own user namespace sees the same owners.
    shown = remapped.docker("run", "--rm", "--userns", "host", "committed", "stat", "-c", "%u:%g", "/own", "/bin")
    assert shown == "5:6\n0:0"


def test_control_groups_stay_the_hosts(remapped: Daemon) -> None:
    flags = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"]
    files = "$(find /sys/fs/cgroup -name release_agent -o -name memory.max -o -name memory.limit_in_bytes)"
    script = (
        f"for f in {files}; do echo 1 > $f && echo WROTE $f; done; mkdir /m; "
        "mount -t cgroup -o memory cgroup /m && echo 1 > /m/release_agent && echo WROTE; true"
    )
    assert remapped.docker("run", "--rm", *flags, "busybox", "sh", "-c", script) == ""


def test_a_seeded_volume_belongs_to_whom_the_image_says(remapped: Daemon) -> None:
    remapped.docker("run", "--rm", "-v", "seeded:/etc", "busybox", "sh", "-c", "echo more >> /etc/passwd")
    assert remapped.docker("run", "--rm", "-v", "seeded:/s", "busybox", "stat", "-c", "%u", "/s/passwd") == "0"


def test_namespaces_are_shared_between_containers(remapped: Daemon) -> None:
    remapped.docker("run", "-d", "--name", "first", "--ipc", "shareable", "busybox", "sleep", "1000")
    shared = remapped.docker(
        "run", "--rm", "--network", "container:first", "--pid", "container:first", "--ipc", "container:first",
        "busybox", "sh", "-c", "cat /proc/1/cmdline; readlink /proc/self/ns/user; touch /dev/shm/seen; id -u",
    )  # fmt: skip
    assert shared.startswith("sleep")
    assert remapped.docker("exec", "first", "ls", "/dev/shm") == "seen"


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--privileged"], "privileged mode is incompatible with user namespaces."),
        (["--network", "host"], "cannot share the host's network namespace when user namespaces are enabled"),
        (["--pid", "host"], "cannot share the host PID namespace when user namespaces are enabled"),
    ],
)
def test_what_is_the_hosts_needs_its_user_namespace(remapped: Daemon, flags: list[str], text: str) -> None:
    done = remapped.run("run", "--rm", *flags, "busybox", "true")
    assert done.returncode == 125
    assert text in done.stderr
    assert remapped.docker("run", "--rm", "--userns", "host", *flags, "busybox", "id", "-u") == "0"


def _create_auto(moord: Daemon, name: str, mode: str = "auto:size=2000") -> None:
    body = {
        "Image": "busybox",
        "Cmd": ["sh", "-c", "touch /mine /vol/mine; sleep 1000"],
        "HostConfig": {"UsernsMode": mode, "Binds": ["shared-by-both:/vol"]},
    }
    moord.api("POST", f"/containers/create?name={name}", body)
    moord.docker("start", name)


def _map(moord: Daemon, name: str) -> list[str]:
    return moord.docker("exec", name, "cat", "/proc/self/uid_map").split()


def test_each_container_may_have_a_range_of_its_own(own: Daemon) -> None:
    for name in ("one", "two"):
        _create_auto(own, name)
    first, second = _map(own, "one"), _map(own, "two")
    assert first == ["0", "2147483648", "2000"]
    assert second == ["0", "2147485648", "2000"]
    assert own.docker("exec", "two", "sh", "-c", "stat -c %u /vol/mine; touch /vol/again; stat -c %u /mine") == "0\n0"
    own.restart()
    assert _map(own, "one") == first
    own.docker("restart", "-t", "0", "two")
    assert _map(own, "two") == second
    own.docker("rm", "-f", "one")
    _create_auto(own, "three")
    assert _map(own, "three") == first
    with pytest.raises(CommandError, match="invalid user namespace mode: private"):
        _create_auto(own, "four", "private")
    assert own.inspect("two", ".HostConfig.UsernsMode") == "auto:size=2000"


def test_the_default_user_is_made_where_it_is_missing() -> None:
    with daemon() as made:
        _give_etc(made)
        made.in_network("sh", "-c", "userdel dockremap 2>/dev/null; : > /etc/subuid; : > /etc/subgid")
        made.start("--userns-remap", "default")
        made.load_busybox()
        assert made.docker("run", "--rm", "busybox", "cat", "/proc/self/uid_map").split() == ["0", "100000", "65536"]
        assert "dockremap:100000:65536" in made.in_network("cat", "/etc/subgid")


def test_copied_layers_are_mapped_too_unless_their_file_system_can_not() -> None:
    with daemon() as made:
        _set_ids_aside(made)
        made.start("--storage-driver", "vfs")
        made.load_busybox()
        _create_auto(made, "copied")
        assert made.docker("exec", "copied", "sh", "-c", "cat /proc/self/uid_map; stat -c %u /mine").split()[-1] == "0"
        made.docker("rm", "-f", "copied")
        made.stop()
        # Overlay itself is a file system whose owners can't be mapped.
        made.in_network("mkdir", "/mnt/over", "/mnt/scratch")
        options = f"lowerdir={made.data_root},upperdir=/mnt/over,workdir=/mnt/scratch"
        made.in_network("mount", "-t", "overlay", "overlay", "-o", options, str(made.data_root))
        made.start("--storage-driver", "vfs")
        with pytest.raises(CommandError, match="not supported on this host: user namespaces need ID-mapped mounts"):
            _create_auto(made, "refused")
        made.stop()
        with pytest.raises(CommandError, match="userns-remap is not supported on this host: user namespaces need ID"):
            made.start("--storage-driver", "vfs", "--userns-remap", "daemon")
        made.in_network("umount", str(made.data_root))
