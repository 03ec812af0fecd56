"""`spec`: a specification to begin with."""

from __future__ import annotations

import json
import os

from moorage.runtime.errors import ContainerStateError
from moorage.runtime.state_file import OCI_VERSION

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH118, PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any, Final

    from moorage.runtime.invocation import Invocation

_CAPABILITIES: Final = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
_MASKED: Final = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
]
_READ_ONLY: Final = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("-b", "--bundle", default=".", help="path to the root of the bundle directory")
    parser.add_argument("--rootless", action="store_true", help="generate a configuration for a rootless container")


def run(options: argparse.Namespace, _invocation: Invocation) -> int:
    """Write config.json."""
    path = os.path.join(options.bundle, "config.json")
    spec = example()
    if options.rootless:
        make_rootless(spec, uid=os.geteuid(), gid=os.getegid())
    try:
        with open(path, "x", encoding="utf-8") as file:
            json.dump(spec, file, indent="\t")
    except FileExistsError as error:
        raise ContainerStateError(f"file {path} exists. Remove it first") from error
    return 0


def example() -> dict[str, Any]:
    """Return a specification that runs a shell in ./rootfs."""
    return {
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {name: list(_CAPABILITIES) for name in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "moor",
        "mounts": _mounts(),
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READ_ONLY),
        },
    }


def _mounts() -> list[dict[str, Any]]:
    restricted = ["nosuid", "noexec", "nodev"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {
            "destination": "/dev/shm",  # noqa: S108 - inside the container
            "type": "tmpfs",
            "source": "shm",
            "options": [*restricted, "mode=1777", "size=65536k"],
        },
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": list(restricted)},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*restricted, "ro"]},
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": [*restricted, "relatime", "ro"],
        },
    ]


def make_rootless(spec: dict[str, Any], *, uid: int, gid: int) -> None:
    """Change a specification so that a user without privileges can run it."""
    linux = spec["linux"]
    # The network stays the host's: nobody could give the container an interface.
    linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] != "network"] + [{"type": "user"}]
    linux["uidMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": gid, "size": 1}]
    del linux["resources"]
    for mount in spec["mounts"]:
        # Group 5 is not mapped.
        mount["options"] = [word for word in mount.get("options", ()) if not word.startswith("gid=")]
        if mount["destination"] == "/sys":
            # A sysfs shows the network namespace, which is not the container's own.
            mount.update(type="none", source="/sys", options=["rbind", "nosuid", "noexec", "nodev", "ro"])
    spec["mounts"] = [mount for mount in spec["mounts"] if mount["destination"] != "/sys/fs/cgroup"]
