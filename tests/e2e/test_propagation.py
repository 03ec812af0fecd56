"""Mounts that travel between a container and the host, over a file system of the test's own that really is shared."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

# Who mounts needs a capability, and the seccomp profile lets those through who have it.
MOUNTER = ("--cap-add", "SYS_ADMIN", "--security-opt", "apparmor=unconfined")


@contextlib.contextmanager
def mounted(moord: Daemon, directory: Path, propagation: str) -> Iterator[Path]:
    """Have a tmpfs where the daemon is, that passes mounts on as the word says."""
    directory.mkdir()
    moord.in_network("mount", "-t", "tmpfs", "shared-subtree", str(directory))
    moord.in_network("mount", f"--make-{propagation}", str(directory))
    try:
        yield directory
    finally:
        moord.docker("rm", "-f", "inside", check=False)
        moord.in_network("umount", "-R", "-l", str(directory))


def run(moord: Daemon, directory: Path, mode: str) -> None:
    """Run a container with two empty directories of the tmpfs."""
    moord.in_network("mkdir", f"{directory}/theirs", f"{directory}/ours")
    mount = f"{directory}:/tree:{mode}"
    moord.docker("run", "-d", "--name", "inside", *MOUNTER, "-v", mount, "busybox", "sleep", "1000")


def travels_out(moord: Daemon, directory: Path) -> bool:
    """Mount something in the container, and tell whether the host shows it."""
    moord.docker("exec", "inside", "mount", "-t", "tmpfs", "from-inside", "/tree/theirs")
    return f" {directory}/theirs " in moord.in_network("cat", "/proc/self/mountinfo")


def travels_in(moord: Daemon, directory: Path) -> bool:
    """Mount something on the host, and tell whether the container shows it."""
    moord.in_network("mount", "-t", "tmpfs", "from-outside", f"{directory}/ours")
    return " /tree/ours " in moord.docker("exec", "inside", "cat", "/proc/self/mountinfo")


@pytest.mark.parametrize(
    ("mode", "out", "into"),
    [
        ("rshared", True, True),
        ("shared", True, True),
        ("rslave", False, True),
        ("slave", False, True),
        ("rprivate", False, False),
        ("private", False, False),
        ("ro", False, False),
    ],
)
def test_mounts_travel_as_the_mode_says(moord: Daemon, tmp_path: Path, mode: str, out: bool, into: bool) -> None:
    with mounted(moord, tmp_path / "tree", "shared") as directory:
        run(moord, directory, mode)
        shown = "rprivate" if mode == "ro" else mode
        assert moord.inspect("inside", "(index .Mounts 0).Propagation") == shown
        assert (travels_out(moord, directory), travels_in(moord, directory)) == (out, into)


def test_the_long_form_says_the_same(moord: Daemon, tmp_path: Path) -> None:
    with mounted(moord, tmp_path / "tree", "shared") as directory:
        moord.in_network("mkdir", f"{directory}/theirs")
        mount = f"type=bind,src={directory},dst=/tree,bind-propagation=rshared"
        moord.docker("run", "-d", "--name", "inside", *MOUNTER, "--mount", mount, "busybox", "sleep", "1000")
        assert travels_out(moord, directory)


def test_what_does_not_travel_on_the_host_is_refused(moord: Daemon, tmp_path: Path) -> None:
    with mounted(moord, tmp_path / "tree", "private") as directory:
        for mode, kind in (("rshared", "a shared mount"), ("rslave", "a shared or slave mount")):
            done = moord.run("run", "--rm", "-v", f"{directory}:/tree:{mode}", "busybox", "true")
            assert f"path {directory} is mounted on {directory} but it is not {kind}" in done.stderr


def test_a_slave_of_the_host_passes_on_what_it_gets(moord: Daemon, tmp_path: Path) -> None:
    with mounted(moord, tmp_path / "tree", "shared") as directory, mounted(moord, tmp_path / "slave", "private") as low:
        moord.in_network("mount", "--bind", str(directory), str(low))
        moord.in_network("mount", "--make-slave", str(low))
        run(moord, low, "rslave")
        assert travels_in(moord, directory)
        done = moord.run("run", "--rm", "-v", f"{low}:/tree:rshared", "busybox", "true")
        assert "is not a shared mount" in done.stderr
