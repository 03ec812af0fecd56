"""What Docker's command refuses of the flags of ``run`` and ``create`` before it asks the engine.

Pure.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from moorage.cli.grammar import FlagValueError
from moorage.errors import InvalidParameterError

_PULL: Final = ("always", "missing", "never")
_SYSCTLS: Final = frozenset(
    """
    kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni
    kernel.shm_rmid_forced
    """.split()
)
_MAC: Final = re.compile(r"([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}|([0-9a-fA-F]{4}\.){2}[0-9a-fA-F]{4}")
_DEVICE_RULE: Final = re.compile(r"[acb] (\d+|\*):(\d+|\*) [rwm]{1,3}", re.ASCII)
_SIZED: Final = re.compile(r"auto:size=[1-9]\d{0,9}", re.ASCII)
# Flag, what Docker calls it, and the modes without an argument.
_MODES: Final = (
    ("userns", "USER", frozenset({"", "host", "auto"})),
    ("uts", "UTS", frozenset({"", "host"})),
    ("cgroupns", "CGROUP", frozenset({"", "host", "private"})),
    ("pid", "PID", frozenset({"", "host"})),
)


class FlagError(InvalidParameterError):
    """Flags contradict each other, or one has a value that can't be read."""


def check_flags(flags: Mapping[str, Any]) -> None:
    """Check flags by their names in `container_flags`.

    Raises:
        FlagValueError: A value can't be read.
        FlagError: A value makes no sense, or two flags contradict each other.
    """
    _check_lists(flags)
    _check_modes(flags)
    if flags["mac_address"] and not _MAC.fullmatch(flags["mac_address"]):
        raise FlagError(f"{flags['mac_address']} is not a valid mac address")
    if flags["rm"] and flags["restart"] not in {"", "no"}:
        raise FlagError("conflicting options: cannot specify both --restart and --rm")
    if flags["pull"] not in _PULL:
        raise FlagError(f'invalid pull option: \'{flags["pull"]}\': must be one of "always", "missing" or "never"')


def _check_lists(flags: Mapping[str, Any]) -> None:
    for flag, (names, why_not) in _LISTS.items():
        for text in flags[flag]:
            if reason := why_not(text):
                raise FlagValueError(text, reason, flag=names)
    for text in flags["security_opt"]:
        if "=" not in text and ":" not in text and text not in {"no-new-privileges", "writable-cgroups"}:
            raise FlagError(f'Invalid --security-opt: "{text}"')
    if not all("=" in text for text in flags["storage_opt"]):
        raise FlagError("invalid storage option")


def _variable(text: str) -> str:
    return "" if text.partition("=")[0] else f"invalid environment variable: {text}"


def _device_rule(text: str) -> str:
    return "" if _DEVICE_RULE.fullmatch(text) else f"invalid device cgroup format '{text}'"


def _dns_server(text: str) -> str:
    return "" if is_address(text) else f"IP address is not correctly formatted: {text}"


def _sysctl(text: str) -> str:
    name = text.partition("=")[0]
    allowed = name in _SYSCTLS or name.startswith(("net.", "fs.mqueue."))
    return "" if allowed else f"sysctl '{text}' is not allowed"


#: What Docker calls a flag, and what says why it does not take a value, by the flag's name here.
_LISTS: Final[Mapping[str, tuple[str, Callable[[str], str]]]] = {
    "env": ("-e, --env", _variable),
    "device_cgroup_rule": ("--device-cgroup-rule", _device_rule),
    "dns": ("--dns", _dns_server),
    "sysctl": ("--sysctl", _sysctl),
}


def is_address(text: str) -> bool:
    """Tell whether a text is an IP address."""
    import ipaddress  # noqa: PLC0415 - few commands need it, and it takes a while to import

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _check_modes(flags: Mapping[str, Any]) -> None:
    for flag, kind, modes in _MODES:
        mode = flags[flag]
        shared = flag == "pid" and mode.startswith("container:") and len(mode) > len("container:")
        sized = flag == "userns" and _SIZED.fullmatch(mode)
        if mode not in modes and not shared and not sized:
            raise FlagError(f"--{flag}: invalid {kind} mode")
