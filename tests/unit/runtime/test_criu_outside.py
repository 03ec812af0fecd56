"""Which mounts of a container a checkpoint does not hold, and what they are at a restore."""

from __future__ import annotations

from typing import Any, Final

from moorage.cgroups.paths import Hierarchy, Layout
from moorage.runtime.criu.outside import external_mounts, sources, unescape

SPEC: Final[dict[str, Any]] = {
    "mounts": [
        {"destination": "/proc", "type": "proc"},
        {"destination": "/dev", "type": "tmpfs"},
        {"destination": "/sys/fs/cgroup", "type": "cgroup"},
        {"destination": "/etc/hosts", "type": "bind", "source": "/run/x/hosts"},
        {"destination": "/data", "source": "here", "options": ["rbind", "ro"]},
        {"destination": "/data/tmp", "type": "tmpfs"},
    ],
    "linux": {"namespaces": [{"type": "mount"}], "maskedPaths": ["/proc/keys", "/proc/acpi"]},
}
LINES: Final = [
    "30 1 0:50 / / rw - overlay overlay rw",
    "31 30 0:51 / /proc rw - proc proc rw",
    "32 31 0:5 /null /proc/keys rw - devtmpfs devtmpfs rw",
    "33 31 0:52 / /proc/acpi ro - tmpfs tmpfs ro",
    "34 30 0:53 / /dev rw - tmpfs tmpfs rw",
    "35 34 0:5 /fuse /dev/fuse rw - devtmpfs devtmpfs rw",
    "36 30 8:1 /run/x/hosts /etc/hosts rw - ext4 /dev/sda rw",
    "37 30 8:1 /srv /data rw - ext4 /dev/sda rw",
    r"38 37 8:2 / /data/a\040disk rw - ext4 /dev/sdb rw",
    "39 37 0:60 / /data/tmp rw - tmpfs tmpfs rw",
    "40 30 0:61 /c1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory",
]
EXTERNAL: Final = [
    "/proc/keys", "/dev/fuse", "/etc/hosts", "/data", "/data/a disk", "/sys/fs/cgroup/memory",
]  # fmt: skip


def test_mounts_of_the_host_are_external() -> None:
    assert external_mounts(SPEC, LINES, is_directory=lambda path: path == "/proc/acpi") == EXTERNAL


def test_control_groups_are_not_where_the_container_has_a_namespace_of_them() -> None:
    spec = SPEC | {"linux": {"namespaces": [{"type": "cgroup"}]}}
    assert "/sys/fs/cgroup/memory" not in external_mounts(spec, LINES, is_directory=lambda _: False)


def test_a_restore_takes_them_from_where_they_are_now() -> None:
    memory = Hierarchy(version=1, controllers=["memory"], mount_point="/sys/fs/cgroup/memory", root="/")
    found = sources(SPEC, EXTERNAL, bundle="/b", layout=Layout([memory], None), cgroup="/c2")
    assert found == {
        "/proc/keys": "/dev/null",
        "/dev/fuse": "/dev/fuse",
        "/etc/hosts": "/run/x/hosts",
        "/data": "/b/here",
        "/data/a disk": "/b/here/a disk",
        "/sys/fs/cgroup/memory": "/sys/fs/cgroup/memory/c2",
    }


def test_paths_of_mountinfo_are_unescaped() -> None:
    assert unescape(r"/a\040b\134c") == "/a b\\c"
