"""The mounts of a specification, seen from inside."""

import os
from pathlib import Path
from typing import Any

import pytest

from moorage.kernel.mount import MountFlag, mount
from tests.integration.runtime.bundles import RESTRICTED, Bundle, Spec, isolated
from tests.support.old_kernels import without_layers_one_by_one

pytestmark = pytest.mark.needs("root")

# There on hosts with cgroup v2 alone.
UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers")


def with_mounts(*entries: dict[str, Any]) -> Any:
    """Return a change that adds mounts."""

    def change(spec: Spec) -> None:
        spec["mounts"] += entries

    return change


def bind(source: Path, destination: str, *options: str) -> dict[str, Any]:
    """Return a bind mount."""
    return {"destination": destination, "source": str(source), "options": ["rbind", *options]}


def options_of(mounts: str, destination: str) -> set[str]:
    """Return the options in /proc/mounts of what is mounted last at a place."""
    lines = [line.split() for line in mounts.splitlines() if line.split()[1] == destination]
    return set(lines[-1][3].split(","))


def test_directory_and_file_are_bound_where_nothing_was(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("from the host\n")
    change = with_mounts(bind(tmp_path / "data", "/a/b/c"), bind(tmp_path / "data/file", "/x/y"))
    assert bundle.run("cat", "/a/b/c/file", "/x/y", change=change).output == "from the host\n" * 2


def test_missing_bind_source_is_named(bundle: Bundle) -> None:
    error = bundle.run("true", change=with_mounts(bind(Path("/no/such"), "/x"))).error
    assert error == 'error mounting "/no/such" to rootfs at "/x": open_tree /no/such: no such file or directory'


def test_read_only_bind_keeps_what_its_source_forbids(bundle: Bundle, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()

    def body() -> dict[str, Any]:
        mount("tmpfs", str(source), "tmpfs", MountFlag.NOEXEC | MountFlag.NODEV)
        return bundle.run_here("cat", "/proc/mounts", change=with_mounts(bind(source, "/x", "ro")))

    assert {"ro", "noexec", "nodev"} <= options_of(isolated(body)["output"], "/x")


def test_rro_reaches_the_mounts_below_and_ro_does_not(bundle: Bundle, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()

    def body() -> dict[str, Any]:
        mount("tmpfs", str(source), "tmpfs")
        (source / "below").mkdir()
        mount("tmpfs", str(source / "below"), "tmpfs")
        change = with_mounts(bind(source, "/plain", "ro"), bind(source, "/recursive", "rro"))
        return bundle.run_here("cat", "/proc/mounts", change=change)

    mounts = isolated(body)["output"]
    assert "rw" in options_of(mounts, "/plain/below")
    assert "ro" in options_of(mounts, "/recursive/below")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nosuid", "noexec"], {"nosuid", "noexec", "rw", "relatime"}),
        (["noatime", "nodiratime"], {"noatime", "nodiratime"}),
        (["ro", "rw"], {"rw"}),
        (["nosymfollow"], {"nosymfollow"}),
        (["size=64k", "mode=700", "ro"], {"ro", "size=64k", "mode=700"}),
        (["sync", "dirsync", "lazytime"], {"sync", "dirsync", "lazytime"}),
    ],
)
def test_option_words(bundle: Bundle, words: list[str], expected: set[str]) -> None:
    change = with_mounts({"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": words})
    assert expected <= options_of(bundle.run("cat", "/proc/mounts", change=change).output, "/t")


def test_unknown_option_is_refused_with_what_the_file_system_says(bundle: Bundle) -> None:
    change = with_mounts({"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["nosuchoption"]})
    error = bundle.run("true", change=change).error
    assert error.startswith('error mounting "tmpfs" to rootfs at "/t": fsconfig nosuchoption: invalid argument')


def test_symbolic_link_in_the_image_ends_inside(bundle: Bundle, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "rootfs/link").symlink_to(f"../../../../..{outside}")
    change = with_mounts({"destination": "/link/made", "type": "tmpfs", "source": "tmpfs"})
    assert bundle.run("true", change=change).code == 0
    assert list(outside.iterdir()) == []
    assert (tmp_path / f"rootfs{outside}/made").is_dir()


def test_proc_can_not_be_redirected_by_a_link(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "rootfs/elsewhere").mkdir()
    (tmp_path / "rootfs/proc").symlink_to("elsewhere")
    assert "too many levels of symbolic links" in bundle.run("true").error


def test_nothing_may_be_mounted_inside_proc_but_a_few_files(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine\n")
    refused = bundle.run("true", change=with_mounts(bind(tmp_path / "file", "/proc/version")))
    assert refused.error == '"/proc/version" cannot be mounted because it is inside /proc'
    assert (
        bundle.run("cat", "/proc/uptime", change=with_mounts(bind(tmp_path / "file", "/proc/uptime"))).output
        == "mine\n"
    )


def test_tmpfs_begins_as_a_copy(bundle: Bundle, tmp_path: Path) -> None:
    original = tmp_path / "rootfs/filled"
    (original / "below").mkdir(parents=True)
    (original / "below/file").write_text("text\n")
    (original / "link").symlink_to("below/file")
    os.chown(original / "below", 7, 8)
    original.chmod(0o751)
    change = with_mounts({"destination": "/filled", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "ro"]})
    output = bundle.run("sh", "-c", "cat /filled/link; stat -c '%u %g %a' /filled/below /filled", change=change).output
    assert output.splitlines() == ["text", "7 8 755", "0 0 751"]


def test_mapped_owners(bundle: Bundle, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()

    def body() -> dict[str, Any]:
        mount("tmpfs", str(source), "tmpfs")
        (source / "file").touch()
        os.chown(source / "file", 1000, 1000)
        mappings = [{"containerID": 1000, "hostID": 2000, "size": 10}]
        entry = bind(source, "/x", "idmap") | {"uidMappings": mappings, "gidMappings": mappings}
        return bundle.run_here("stat", "-c", "%u:%g", "/x/file", change=with_mounts(entry))

    facts = isolated(body)
    if "invalid argument" in facts["error"]:
        pytest.skip("this kernel maps no owners on tmpfs")
    assert facts["output"] == "2000:2000\n"


def test_mapping_without_mappings_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    assert bundle.run("true", change=with_mounts(bind(tmp_path, "/x", "idmap"))).error == (
        "mount /x: idmap needs mappings or a user namespace"
    )


def test_order_of_mounts_is_the_listed_one(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    tmpfs = {"type": "tmpfs", "source": "tmpfs"}
    change = with_mounts({"destination": "/1", **tmpfs}, bind(tmp_path / "data", "/2"), {"destination": "/3", **tmpfs})
    lines = bundle.run("cat", "/proc/mounts", change=change).output.splitlines()
    assert [line.split()[1] for line in lines if line.split()[1][1:].isdigit()] == ["/1", "/2", "/3"]


@pytest.mark.parametrize(("word", "expected"), [("rslave", "master:"), ("rshared", "shared:"), ("rprivate", "")])
def test_propagation_of_a_bind(bundle: Bundle, tmp_path: Path, word: str, expected: str) -> None:
    source = tmp_path / "source"
    source.mkdir()

    def change(spec: Spec) -> None:
        spec["mounts"].append(bind(source, "/x", word))
        spec["linux"]["rootfsPropagation"] = "shared" if word == "rshared" else "rslave"

    def body() -> dict[str, Any]:
        mount("tmpfs", str(source), "tmpfs")
        mount(None, str(source), flags=MountFlag.SHARED)
        return bundle.run_here("cat", "/proc/self/mountinfo", change=change)

    (line,) = [line for line in isolated(body)["output"].splitlines() if line.split()[4] == "/x"]
    assert line.split(" - ")[0].split()[6:] == [field for field in line.split() if expected and expected in field]


def test_control_groups_show_the_containers_own(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["mounts"].append(
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", *RESTRICTED]}
        )
        if UNIFIED.exists():
            # One tree can't be put together of the container's parts: without a namespace it is the host's.
            spec["linux"]["namespaces"].append({"type": "cgroup"})

    script = "cat /sys/fs/cgroup/pids/cgroup.procs || cat /sys/fs/cgroup/cgroup.procs"
    assert "1" in bundle.run("sh", "-c", script, change=change).output.split()


def test_cgroup_namespace_begins_at_the_containers_cgroup(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["linux"]["namespaces"].append({"type": "cgroup"})

    lines = bundle.run("cat", "/proc/self/cgroup", change=change).output.splitlines()
    assert lines
    assert {line.split(":", 2)[2] for line in lines} == {"/"}


@pytest.mark.needs("overlay")
def test_overlay_without_the_newest_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_layers_one_by_one(monkeypatch)
    bundle = Bundle(tmp_path, overlay=True)
    assert bundle.run("sh", "-c", "echo new > /file").code == 0
    assert (tmp_path / "upper/file").read_text() == "new\n"


def test_container_without_mounts_of_its_own_leaves_none(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        linux = spec["linux"]
        linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] != "mount"]
        linux |= {"maskedPaths": [], "readonlyPaths": []}

    def body() -> list[Any]:
        before = Path("/proc/self/mountinfo").read_text()
        facts = bundle.run_here("sh", "-c", "cat /proc/1/comm; exit 3", change=change)
        return [facts["code"], Path("/proc/self/mountinfo").read_text() == before]

    assert isolated(body) == [3, True]
