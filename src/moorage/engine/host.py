"""What the host says about itself: distribution, kernel, memory, open files.

The parsers are pure; `read_host` asks the kernel.

Spec: os-release(5); proc(5), meminfo.
"""

import dataclasses
import os
import platform
import shlex
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_FILE_SYSTEMS: Final = {"ext2": "extfs", "ext3": "extfs", "ext4": "extfs", "overlay": "overlayfs"}
_OS_RELEASE: Final = (Path("/etc/os-release"), Path("/usr/lib/os-release"))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The host, as far as it does not change while it runs.

    Attributes:
        machine: As `uname -m` prints it.
        memory: Bytes.
        seccomp: The kernel can filter system calls.
    """

    name: str
    operating_system: str
    os_version: str
    kernel: str
    machine: str
    cpus: int
    memory: int
    seccomp: bool


def parse_os_release(text: str) -> Mapping[str, str]:
    """Return the assignments of an os-release file; lines of another form are skipped."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if not separator or name.startswith("#"):
            continue
        try:
            words = shlex.split(value)
        except ValueError:
            continue
        found[name] = words[0] if words else ""
    return found


def parse_total_memory(meminfo: str) -> int:
    """Return the bytes of memory that /proc/meminfo tells of; 0 if it does not."""
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) * 1024
    return 0


def read_host() -> Host:
    """Look at this host."""
    release = parse_os_release(next((path.read_text() for path in _OS_RELEASE if path.exists()), ""))
    uname = platform.uname()
    return Host(
        name=socket.gethostname(),
        operating_system=release.get("PRETTY_NAME", release.get("NAME", "Linux")),
        os_version=release.get("VERSION_ID", ""),
        kernel=uname.release,
        machine=uname.machine,
        cpus=len(os.sched_getaffinity(0)),
        memory=parse_total_memory(Path("/proc/meminfo").read_text(encoding="ascii")),
        seccomp=Path("/proc/sys/kernel/seccomp").exists(),
    )


def parse_file_system(mountinfo: str, path: str) -> str:
    """Return the type of the file system that a path is on, as Docker calls it.

    Spec: proc(5), "mountinfo".
    """
    found, depth = "", -1
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        # Blanks in paths are written as octal numbers.
        place = before.split()[4].encode("latin-1", "replace").decode("unicode_escape")
        inside = path == place or path.startswith(place.rstrip("/") + "/")
        # Of two mounts on one place the later one is seen.
        if inside and len(place) >= depth:
            found, depth = after.split()[0], len(place)
    return _FILE_SYSTEMS.get(found, found) or "<unknown>"


def backing_file_system(path: Path) -> str:
    """Return the type of the file system that a path is on."""
    mountinfo = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    return parse_file_system(mountinfo, os.path.realpath(path))


def is_forwarding() -> bool:
    """Tell whether the host forwards IPv4 packets now."""
    try:
        return Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii").strip() == "1"
    except OSError:
        return False


def open_files() -> int:
    """Return how many file descriptors this process has open."""
    # The listing itself has one open.
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1
