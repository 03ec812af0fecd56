"""The flags of ``run`` and ``create``, as data.

The rows are in alphabetical order, as in Docker's help. What means something on Windows
only is sent, and refused by the engine.
"""

from collections.abc import Callable
from typing import Any, Final

import click

from moorage.cli.quantities import BYTES, CPUS, DURATION, INTEGER, SWAP

_LIST: Final = {"multiple": True, "metavar": "list"}
_MAP: Final = {"multiple": True, "metavar": "map"}
_SWITCH: Final = {"is_flag": True}

# Names, settings, help.
_ROWS: Final[tuple[tuple[tuple[str, ...], dict[str, Any], str], ...]] = (
    (("--add-host",), _LIST, "Add a custom host-to-IP mapping (host:ip)"),
    (("--annotation",), _MAP, "Add an annotation to the container (passed through to the OCI runtime)"),
    (("-a", "--attach"), _LIST, "Attach to STDIN, STDOUT or STDERR"),
    (
        ("--blkio-weight",),
        {"type": INTEGER, "default": 0},
        "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)",
    ),
    (("--blkio-weight-device",), _LIST, "Block IO weight (relative device weight)"),
    (("--cap-add",), _LIST, "Add Linux capabilities"),
    (("--cap-drop",), _LIST, "Drop Linux capabilities"),
    (("--cgroup-parent",), {"default": ""}, "Optional parent cgroup for the container"),
    (("--cgroupns",), {"default": ""}, "Cgroup namespace to use (host|private)"),
    (("--cidfile",), {"default": ""}, "Write the container ID to the file"),
    (("--cpu-count",), {"type": INTEGER, "default": 0, "hidden": True}, "CPU count (Windows only)"),
    (("--cpu-percent",), {"type": INTEGER, "default": 0, "hidden": True}, "CPU percent (Windows only)"),
    (("--cpu-period",), {"type": INTEGER, "default": 0}, "Limit CPU CFS (Completely Fair Scheduler) period"),
    (("--cpu-quota",), {"type": INTEGER, "default": 0}, "Limit CPU CFS (Completely Fair Scheduler) quota"),
    (("--cpu-rt-period",), {"type": INTEGER, "default": 0}, "Limit CPU real-time period in microseconds"),
    (("--cpu-rt-runtime",), {"type": INTEGER, "default": 0}, "Limit CPU real-time runtime in microseconds"),
    (("-c", "--cpu-shares"), {"type": INTEGER, "default": 0}, "CPU shares (relative weight)"),
    (("--cpus",), {"type": CPUS, "default": 0}, "Number of CPUs"),
    (("--cpuset-cpus",), {"default": ""}, "CPUs in which to allow execution (0-3, 0,1)"),
    (("--cpuset-mems",), {"default": ""}, "MEMs in which to allow execution (0-3, 0,1)"),
    (("--device",), _LIST, "Add a host device to the container"),
    (("--device-cgroup-rule",), _LIST, "Add a rule to the cgroup allowed devices list"),
    (("--device-read-bps",), _LIST, "Limit read rate (bytes per second) from a device"),
    (("--device-read-iops",), _LIST, "Limit read rate (IO per second) from a device"),
    (("--device-write-bps",), _LIST, "Limit write rate (bytes per second) to a device"),
    (("--device-write-iops",), _LIST, "Limit write rate (IO per second) to a device"),
    (("--dns",), _LIST, "Set custom DNS servers"),
    (("--dns-option", "--dns-opt"), _LIST, "Set DNS options"),
    (("--dns-search",), _LIST, "Set custom DNS search domains"),
    (("--domainname",), {"default": ""}, "Container NIS domain name"),
    (("--entrypoint",), {"default": None}, "Overwrite the default ENTRYPOINT of the image"),
    (("-e", "--env"), _LIST, "Set environment variables"),
    (("--env-file",), _LIST, "Read in a file of environment variables"),
    (("--expose",), _LIST, "Expose a port or a range of ports"),
    (
        ("--gpus",),
        {"default": "", "metavar": "gpu-request"},
        "GPU devices to add to the container ('all' to pass all GPUs)",
    ),
    (("--group-add",), _LIST, "Add additional groups to join"),
    (("--health-cmd",), {"default": ""}, "Command to run to check health"),
    (("--health-interval",), {"type": DURATION, "default": 0}, "Time between running the check (ms|s|m|h)"),
    (("--health-retries",), {"type": INTEGER, "default": 0}, "Consecutive failures needed to report unhealthy"),
    (
        ("--health-start-interval",),
        {"type": DURATION, "default": 0},
        "Time between running the check during the start period (ms|s|m|h)",
    ),
    (
        ("--health-start-period",),
        {"type": DURATION, "default": 0},
        "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h)",
    ),
    (("--health-timeout",), {"type": DURATION, "default": 0}, "Maximum time to allow one check to run (ms|s|m|h)"),
    (("-h", "--hostname"), {"default": ""}, "Container host name"),
    (("--init",), _SWITCH, "Run an init inside the container that forwards signals and reaps processes"),
    (("-i", "--interactive"), _SWITCH, "Keep STDIN open even if not attached"),
    (
        ("--io-maxbandwidth",),
        {"type": BYTES, "default": 0, "hidden": True},
        "Maximum IO bandwidth limit for the system drive (Windows only)",
    ),
    (
        ("--io-maxiops",),
        {"type": INTEGER, "default": 0, "hidden": True},
        "Maximum IOps limit for the system drive (Windows only)",
    ),
    (("--ip",), {"default": ""}, "IPv4 address (e.g., 172.30.100.104)"),
    (("--ip6",), {"default": ""}, "IPv6 address (e.g., 2001:db8::33)"),
    (("--ipc",), {"default": ""}, "IPC mode to use"),
    (("--isolation",), {"default": ""}, "Container isolation technology"),
    (("-l", "--label"), _LIST, "Set meta data on a container"),
    (("--label-file",), _LIST, "Read in a line delimited file of labels"),
    (("--link",), _LIST, "Add link to another container"),
    (("--link-local-ip",), _LIST, "Container IPv4/IPv6 link-local addresses"),
    (("--log-driver",), {"default": ""}, "Logging driver for the container"),
    (("--log-opt",), _LIST, "Log driver options"),
    (("--mac-address",), {"default": ""}, "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    (("-m", "--memory"), {"type": BYTES, "default": 0}, "Memory limit"),
    (("--memory-reservation",), {"type": BYTES, "default": 0}, "Memory soft limit"),
    (
        ("--memory-swap",),
        {"type": SWAP, "default": 0},
        "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
    ),
    (("--memory-swappiness",), {"type": INTEGER, "default": -1}, "Tune container memory swappiness (0 to 100)"),
    (("--mount",), {"multiple": True, "metavar": "mount"}, "Attach a filesystem mount to the container"),
    (("--name",), {"default": ""}, "Assign a name to the container"),
    (("--network", "--net"), {"multiple": True, "metavar": "network"}, "Connect a container to a network"),
    (("--network-alias", "--net-alias"), _LIST, "Add network-scoped alias for the container"),
    (("--no-healthcheck",), _SWITCH, "Disable any container-specified HEALTHCHECK"),
    (("--oom-kill-disable",), _SWITCH, "Disable OOM Killer"),
    (("--oom-score-adj",), {"type": INTEGER, "default": 0}, "Tune host's OOM preferences (-1000 to 1000)"),
    (("--pid",), {"default": ""}, "PID namespace to use"),
    (("--pids-limit",), {"type": INTEGER, "default": None}, "Tune container pids limit (set -1 for unlimited)"),
    (
        ("--platform",),
        {"default": "", "envvar": "DOCKER_DEFAULT_PLATFORM"},
        "Set platform if server is multi-platform capable",
    ),
    (("--privileged",), _SWITCH, "Give extended privileges to this container"),
    (("-p", "--publish"), _LIST, "Publish a container's port(s) to the host"),
    (("-P", "--publish-all"), _SWITCH, "Publish all exposed ports to random ports"),
    (
        ("--pull",),
        {"default": "missing"},
        'Pull image before running ("always", "missing", "never")',
    ),
    (("-q", "--quiet"), _SWITCH, "Suppress the pull output"),
    (("--read-only",), _SWITCH, "Mount the container's root filesystem as read only"),
    (("--restart",), {"default": "no"}, "Restart policy to apply when a container exits"),
    (("--rm",), _SWITCH, "Automatically remove the container and its associated anonymous volumes when it exits"),
    (("--runtime",), {"default": ""}, "Runtime to use for this container"),
    (("--security-opt",), _LIST, "Security Options"),
    (("--shm-size",), {"type": BYTES, "default": 0}, "Size of /dev/shm"),
    (("--stop-signal",), {"default": ""}, "Signal to stop the container"),
    (("--stop-timeout",), {"type": INTEGER, "default": None}, "Timeout (in seconds) to stop a container"),
    (("--storage-opt",), _LIST, "Storage driver options for the container"),
    (("--sysctl",), _MAP, "Sysctl options"),
    (("--tmpfs",), _LIST, "Mount a tmpfs directory"),
    (("-t", "--tty"), _SWITCH, "Allocate a pseudo-TTY"),
    (("--ulimit",), {"multiple": True, "metavar": "ulimit"}, "Ulimit options"),
    (("--use-api-socket",), _SWITCH, "Bind mount the engine's API socket and its registry credentials"),
    (("-u", "--user"), {"default": ""}, "Username or UID (format: <name|uid>[:<group|gid>])"),
    (("--userns",), {"default": ""}, "User namespace to use"),
    (("--uts",), {"default": ""}, "UTS namespace to use"),
    (("-v", "--volume"), _LIST, "Bind mount a volume"),
    (("--volume-driver",), {"default": ""}, "Optional volume driver for the container"),
    (("--volumes-from",), _LIST, "Mount volumes from the specified container(s)"),
    (("-w", "--workdir"), {"default": ""}, "Working directory inside the container"),
)

# Docker takes these from old scripts, and does nothing about them.
_WITHOUT_EFFECT: Final[dict[str, dict[str, Any]]] = {
    "--disable-content-trust": _SWITCH,
    "--kernel-memory": {"type": BYTES},
}

Function = Callable[..., Any]


def container_flags(function: Function) -> Function:
    """Give a command every flag of ``create``; they arrive as keyword arguments."""
    for names, settings, text in reversed(_ROWS):
        # The parameter is called after the first long name, whatever other names there are.
        longest = next(name for name in names if name.startswith("--"))
        variable = longest[2:].replace("-", "_")
        function = click.option(*names, variable, help=text, **settings)(function)
    for name, settings in _WITHOUT_EFFECT.items():
        function = click.option(name, hidden=True, expose_value=False, **settings)(function)
    return function
