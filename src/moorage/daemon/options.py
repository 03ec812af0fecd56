"""The command line of `moord`, with dockerd's names.

An option that dockerd has and Moorage has not is known here too, so that it is refused by
its name and not as a typing error.

Spec: dockerd(8).
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

# Options that take a value, may be repeated, or are switches: all end up in the same
# mapping as daemon.json, under its keys.
_REPEATED: Final = {
    "host": "hosts",
    "dns": "dns",
    "dns-opt": "dns-opts",
    "dns-search": "dns-search",
    "add-runtime": "runtimes",
    "registry-mirror": "registry-mirrors",
    "insecure-registry": "insecure-registries",
    "log-opt": "log-opts",
    "default-ulimit": "default-ulimits",
    "default-address-pool": "default-address-pools",
    "default-network-opt": "default-network-opts",
    "label": "labels",
    "host-gateway-ip": "host-gateway-ips",
    "authorization-plugin": "authorization-plugins",
    "cdi-spec-dir": "cdi-spec-dirs",
    "exec-opt": "exec-opts",
    "feature": "features",
    "node-generic-resource": "node-generic-resources",
    "storage-opt": "storage-opts",
}
_VALUES: Final = (
    "bip",
    "bridge",
    "cgroup-parent",
    "data-root",
    "default-cgroupns-mode",
    "default-ipc-mode",
    "default-runtime",
    "exec-root",
    "firewall-backend",
    "fixed-cidr",
    "group",
    "http-proxy",
    "https-proxy",
    "init-path",
    "ip",
    "log-driver",
    "log-format",
    "log-level",
    "metrics-addr",
    "min-api-version",
    "no-proxy",
    "pidfile",
    "seccomp-profile",
    "storage-driver",
    "tlscacert",
    "tlscert",
    "tlskey",
    "userns-remap",
)
_NUMBERS: Final = (
    "cpu-rt-period",
    "cpu-rt-runtime",
    "default-shm-size",
    "default-stop-timeout",
    "max-concurrent-downloads",
    "max-concurrent-uploads",
    "max-download-attempts",
    "mtu",
    "network-diagnostic-port",
    "shutdown-timeout",
)
_SWITCHES: Final = (
    "allow-direct-routing",
    "debug",
    "experimental",
    "icc",
    "init",
    "ip-forward",
    "ip-forward-no-drop",
    "ip-masq",
    "ip6tables",
    "iptables",
    "ipv6",
    "live-restore",
    "no-new-privileges",
    "raw-logs",
    "rootless",
    "selinux-enabled",
    "tls",
    "tlsverify",
    "userland-proxy",
    "validate",
)
_SHORT: Final = {"host": "-H", "debug": "-D", "log-level": "-l", "group": "-G", "bridge": "-b", "pidfile": "-p"}
UNSUPPORTED: Final = frozenset(
    """
    api-cors-header bip6 bridge-accept-fwmark builder containerd containerd-namespace containerd-plugins-namespace
    cri-containerd default-gateway default-gateway-v6
    fixed-cidr-v6 network-control-plane-mtu oom-score-adjust resolv-conf
    swarm-default-advertise-addr swarm-raft-heartbeat-tick swarm-raft-election-tick userland-proxy-path
    """.split()
)
"""Options and daemon.json keys that dockerd has and this daemon has not."""

#: Keys that are known, with the values they can have here, and why they can have no other.
FIXED: Final[Mapping[str, tuple[tuple[Any, ...], str]]] = {
    "allow-direct-routing": ((False,), "containers are reached through published ports only"),
    "firewall-backend": (("", "nftables"), "it programs nftables"),
    "ip-forward": ((True,), "bridge networks need routing"),
    "ip6tables": ((True,), "it always programs its own table of the firewall"),
    "iptables": ((True,), "it always programs its own table of the firewall"),
    "live-restore": ((True,), "containers always outlive the daemon"),
    "network-diagnostic-port": ((0,), "it has no such server"),
    "node-generic-resources": (([],), "it is in no swarm"),
    "nri-opts": (({}, {"enable": False}), "it has no Node Resource Interface"),
    # Its log has no colours, and its shims hold the ports: both values mean the same here.
    "raw-logs": ((True, False), ""),
    "rootless": ((False,), "it runs as root"),
    "storage-opts": (([],), "its storage drivers have no options"),
    "userland-proxy": ((True, False), ""),
}


class _Parser(argparse.ArgumentParser):
    """Fails as dockerd does: one sentence on standard error, and a hint."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"{message}\nSee 'moord --help'.\n")


class _Unsupported(argparse.Action):
    """Refuses a known option by its name."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        parser.error(f"the option {self.option_strings[0]} is not supported by Moorage")


def _boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered in {"1", "t", "true"}:
        return True
    if lowered in {"0", "f", "false"}:
        return False
    raise argparse.ArgumentTypeError(f"invalid boolean value {text!r}")


def make_parser(*, version: str) -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _Parser(
        prog="moord",
        description="A self-sufficient runtime for containers.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("-v", "--version", action="version", version=version)
    parser.add_argument("--config-file", help="daemon configuration file")
    for name, key in _REPEATED.items():
        parser.add_argument(*_flags(name), dest=key, action="append", metavar="VALUE", help=f"daemon.json: {key}")
    for name in _VALUES:
        parser.add_argument(*_flags(name), dest=name, metavar="VALUE", help=f"daemon.json: {name}")
    for name in _NUMBERS:
        kind = str if name == "default-shm-size" else int
        parser.add_argument(*_flags(name), dest=name, type=kind, metavar="NUMBER", help=f"daemon.json: {name}")
    for name in _SWITCHES:
        parser.add_argument(
            *_flags(name), dest=name, type=_boolean, nargs="?", const=True, metavar="true|false",
            help=f"daemon.json: {name}",
        )  # fmt: skip
    for name in sorted(UNSUPPORTED):
        parser.add_argument(
            f"--{name}", dest=f"unsupported {name}", action=_Unsupported, nargs="?", help=argparse.SUPPRESS
        )
    return parser


def parse(arguments: Sequence[str], *, version: str) -> dict[str, Any]:
    """Return the options that were given, under the keys of daemon.json; a mistake ends the program."""
    return vars(make_parser(version=version).parse_args(arguments))


def _flags(name: str) -> list[str]:
    return [*([_SHORT[name]] if name in _SHORT else []), f"--{name}"]
