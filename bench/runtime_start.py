"""Time create and start of containers with the default profile, in one warm process.

    sudo .venv/bin/python bench/runtime_start.py [--runs 50] [--without veth,seccomp]

Everything happens in a network and mount namespace of its own, below a temporary
directory, with /bin/busybox as the image. Prints milliseconds: median, tenth percentile.
"""

import argparse
import gc
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from moorage.engine.bundles.seccomp import default_profile
from moorage.kernel import mount, namespaces, pidfd
from moorage.kernel.mount import MountFlag
from moorage.kernel.namespaces import CloneFlag
from moorage.netlink import link
from moorage.netlink.socket import NetlinkSocket
from moorage.runtime import joining, process
from moorage.runtime.launch import Launch, OverlayRootfs

CAPABILITIES = [
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE "
        "SYS_CHROOT KILL AUDIT_WRITE"
    ).split()
]
MASKED = (
    "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug "
    "/proc/scsi /proc/timer_list /proc/timer_stats /sys/firmware /sys/devices/virtual/powercap"
).split()
BRIDGE = "moorbench0"


def device_rule(major: int, minor: int) -> dict[str, Any]:
    """Allow one character device."""
    return {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}


def default_spec(name: str, arguments: list[str], *, seccomp: bool) -> dict[str, Any]:
    """Return what the engine makes of a plain `docker run`."""
    sets = dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES)
    restricted = ["nosuid", "noexec", "nodev"]
    spec: dict[str, Any] = {
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": arguments,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"],
            "cwd": "/",
            "capabilities": sets,
            "oomScoreAdj": 0,
        },
        "root": {"path": "rootfs"},
        "hostname": name,
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": restricted},
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
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*restricted, "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", *restricted]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": restricted},
            {
                "destination": "/dev/shm",
                "type": "tmpfs",
                "source": "shm",
                "options": [*restricted, "mode=1777", "size=67108864"],
            },
        ],
        "linux": {
            "sysctl": {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"},
            "cgroupsPath": f"/moorage-bench/{name}",
            "resources": {
                "devices": [
                    {"allow": False, "access": "rwm"},
                    *(device_rule(*numbers) for numbers in ((1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1))),
                    {"allow": False, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
                ]
            },
            "namespaces": [{"type": kind} for kind in ("mount", "network", "uts", "pid", "ipc")],
            "maskedPaths": MASKED,
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }
    if seccomp:
        spec["linux"]["seccomp"] = default_profile(CAPABILITIES, architecture="amd64")
    return spec


def make_image(directory: Path) -> Path:
    """Make a root file system of busybox."""
    image = directory / "image"
    for name in ("bin", "dev", "proc", "sys"):
        (image / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", image / "bin/busybox")
    for applet in ("true", "sh", "sleep"):
        (image / "bin" / applet).symlink_to("busybox")
    return image


def prepare_host() -> None:
    """Enter namespaces of its own and make a bridge in them."""
    namespaces.unshare(CloneFlag.NEWNET | CloneFlag.NEWNS)
    mount.mount(None, "/", flags=MountFlag.REC | MountFlag.PRIVATE)
    with NetlinkSocket() as netlink:
        netlink.send(link.up(link.LOOPBACK_INDEX), link.bridge(BRIDGE, mac="02:00:00:00:00:01", mtu=1500))


def launch_of(directory: Path, image: Path, number: int, *, parts: set[str], arguments: list[str]) -> Launch:
    """Return the launch of one container, with an empty upper directory."""
    bundle = directory / f"bundle{number}"
    for name in ("upper", "work"):
        (bundle / name).mkdir(parents=True)
    plan = {
        "host": f"vethb{number}",
        "name": "eth0",
        "mac": f"02:00:00:00:01:{number % 256:02x}",
        "mtu": 1500,
        "bridge": BRIDGE,
        "addresses": [f"172.29.0.{2 + number % 250}/16"],
        "gateways": ["172.29.0.1"],
        "routes": [],
    }
    return Launch(
        spec=default_spec(f"c{number}", arguments, seccomp="seccomp" in parts),
        container_id=f"c{number}",
        bundle=str(bundle),
        rootfs=OverlayRootfs(lower=[str(image)], upper=str(bundle / "upper"), work=str(bundle / "work")),
        interfaces=[plan] if "veth" in parts else [],
        seccomp_cache=str(directory / "seccomp"),
    )


def summary(name: str, samples: list[float]) -> None:
    """Print median and tenth percentile of samples in seconds."""
    tenth = statistics.quantiles(samples, n=10)[0]
    print(f"{name:16} {statistics.median(samples) * 1000:7.2f} {tenth * 1000:7.2f}")


def measure_starts(directory: Path, image: Path, *, runs: int, parts: set[str], pause: float) -> None:
    """Time create, start and cleanup."""
    created, started, gone, cleaned = [], [], [], []
    for number in range(runs + 2):
        launch = launch_of(directory, image, number, parts=parts, arguments=["true"])
        time.sleep(pause)
        begin = time.perf_counter()
        init = process.create(launch)
        ready = time.perf_counter()
        process.start(init)
        running = time.perf_counter()
        pidfd.wait(init.pidfd)
        ended = time.perf_counter()
        process.cleanup(init)
        if number >= 2:
            created.append(ready - begin)
            started.append(running - begin)
            gone.append(ended - begin)
            cleaned.append(time.perf_counter() - ended)
    summary("create", created)
    summary("create + start", started)
    summary("until exit", gone)
    summary("cleanup", cleaned)


def measure_exec(directory: Path, image: Path, *, runs: int, parts: set[str]) -> None:
    """Time adding a process."""
    launch = launch_of(directory, image, 1000, parts=parts, arguments=["sleep", "600"])
    init = process.create(launch)
    process.start(init)
    target = joining.Target(
        pid=init.pid,
        pidfd=init.pidfd,
        spec=launch.spec,
        container_id=launch.container_id,
        bundle=launch.bundle,
        cgroup=init.cgroup,
    )
    added = {**launch.spec["process"], "args": ["true"]}
    samples = []
    for _ in range(runs):
        begin = time.perf_counter()
        joined = joining.exec_process(target, added, seccomp_cache=launch.seccomp_cache)
        samples.append(time.perf_counter() - begin)
        pidfd.wait(joined.pidfd)
        os.close(joined.pidfd)
    summary("exec", samples)
    pidfd.pidfd_send_signal(init.pidfd, 9)
    pidfd.wait(init.pidfd)
    process.cleanup(init)


def main() -> None:
    """Measure, and leave nothing behind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--pause", type=float, default=0.1, help="seconds of idleness before each start")
    parser.add_argument("--without", default="", help="comma-separated: veth, seccomp")
    arguments = parser.parse_args()
    parts = {"veth", "seccomp"} - set(arguments.without.split(","))
    directory = Path(tempfile.mkdtemp(prefix="moorage-bench-"))
    try:
        image = make_image(directory)
        prepare_host()
        process.warm_up()
        gc.freeze()
        print(f"{'milliseconds':16} {'median':>7} {'p10':>7}")
        measure_starts(directory, image, runs=arguments.runs, parts=parts, pause=arguments.pause)
        measure_exec(directory, image, runs=arguments.runs, parts=parts)
    finally:
        shutil.rmtree(directory)
        for hierarchy in Path("/sys/fs/cgroup").iterdir():
            if (hierarchy / "moorage-bench").is_dir():
                (hierarchy / "moorage-bench").rmdir()


if __name__ == "__main__":
    main()
