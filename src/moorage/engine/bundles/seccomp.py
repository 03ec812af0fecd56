"""The seccomp filter of a container: the default profile, a custom one, or none.

Pure: a profile becomes the runtime-spec's ``linux.seccomp`` object; the runtime turns
that into a BPF program.

Spec: runtime-spec, config-linux.md "Seccomp".
"""

import errno
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from moorage.engine.bundles.seccomp_syscalls import ALWAYS, BY_ARCHITECTURE, BY_CAPABILITY
from moorage.errors import InvalidParameterError

SeccompObject = dict[str, Any]
"""``linux.seccomp`` of the runtime-spec, or a profile file's JSON object."""

_ALLOW: Final = "SCMP_ACT_ALLOW"
_ERRNO: Final = "SCMP_ACT_ERRNO"

_ARCHITECTURES: Final[Mapping[str, tuple[str, ...]]] = {
    "amd64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "arm64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
}

# CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}: no new namespaces without CAP_SYS_ADMIN.
_NEW_NAMESPACES: Final = 0x7E020000
# Address families that containers share with everybody: the kernel's own cryptography, which
# any user can load modules of, and the way to the hypervisor.
_AF_ALG: Final = 38
_AF_VSOCK: Final = 40

# personality(2) may be asked (0xffffffff) or set to what ordinary programs use:
# PER_LINUX, PER_LINUX32, and both with ADDR_NO_RANDOMIZE's neighbours UNAME26.
_PERSONALITIES: Final = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)


_KERNEL: Final = re.compile(r"(\d{1,3})\.(\d{1,3})", re.ASCII)


class InvalidSeccompProfileError(InvalidParameterError):
    """A custom profile is no JSON object, or not of the profile's form."""


def default_profile(capabilities: Sequence[str], *, architecture: str) -> SeccompObject:
    """Return the default filter for a container that has these capabilities.

    Args:
        capabilities: The bounding set, ``CAP_X`` names.
        architecture: As in an image config: ``amd64``, ``arm64``.
    """
    return _default_profile(frozenset(capabilities), architecture)


@functools.lru_cache(maxsize=16)
def _default_profile(capabilities: frozenset[str], architecture: str) -> SeccompObject:
    opened = {name for capability in capabilities for name in BY_CAPABILITY.get(capability, ())}
    rules: list[SeccompObject] = [
        {"names": sorted({*ALWAYS, *opened, *BY_ARCHITECTURE.get(architecture, ())}), "action": _ALLOW},
        _compare("socket", 0, _AF_ALG, "SCMP_CMP_LT"),
        _compare("socket", 0, _AF_ALG + 1, "SCMP_CMP_EQ"),
        _compare("socket", 0, _AF_VSOCK, "SCMP_CMP_GT"),
        *(_compare("personality", 0, value, "SCMP_CMP_EQ") for value in _PERSONALITIES),
    ]
    if "CAP_SYS_ADMIN" not in capabilities:
        # clone3's flags are behind a pointer that no filter can read: ENOSYS makes the C
        # library fall back to clone, whose flags can be checked.
        rules.append({"names": ["clone3"], "action": _ERRNO, "errnoRet": errno.ENOSYS})
        rules.append(
            {
                "names": ["clone"],
                "action": _ALLOW,
                "args": [{"index": 0, "value": _NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
            }
        )
    return {
        "defaultAction": _ERRNO,
        "defaultErrnoRet": errno.EPERM,
        "architectures": list(_ARCHITECTURES.get(architecture, ())),
        "syscalls": rules,
    }


def _compare(name: str, index: int, value: int, operator: str) -> SeccompObject:
    return {"names": [name], "action": _ALLOW, "args": [{"index": index, "value": value, "op": operator}]}


def custom_profile(
    text: str, capabilities: Sequence[str], *, architecture: str, kernel: tuple[int, int]
) -> SeccompObject | None:
    """Return the filter of a user's profile, which the client sends as its JSON text; None if it filters nothing.

    A profile may list ``archMap`` instead of ``architectures``, and a rule may hold only
    with or without capabilities, on some architectures or kernels (``includes``, ``excludes``).

    Args:
        kernel: Major and minor version.

    Raises:
        InvalidSeccompProfileError: The text is not of this form.
    """
    try:
        profile = msgspec.json.decode(text, type=_Profile)
    except msgspec.DecodeError as error:
        raise InvalidSeccompProfileError(f"Decoding seccomp profile failed: {error}") from None
    rules = profile.syscalls or []
    if not profile.default_action and not rules:
        return None
    if profile.arch_map and profile.architectures:
        raise InvalidSeccompProfileError(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, "
            "use either 'architectures' or 'archMap'"
        )
    host = _Host(frozenset(capabilities), architecture, kernel)
    plain: SeccompObject = {
        "defaultAction": profile.default_action,
        "architectures": _profile_architectures(profile, architecture),
        "syscalls": [_plain_rule(rule) for rule in rules if _holds(rule, host)],
    }
    others = {
        "defaultErrnoRet": profile.default_errno_ret,
        "flags": profile.flags,
        "listenerPath": profile.listener_path,
        "listenerMetadata": profile.listener_metadata,
    }
    return {**plain, **{name: value for name, value in others.items() if value is not None}}


class _Architecture(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    architecture: str = ""
    sub_architectures: list[str] | None = None


class _Filter(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    caps: list[str] | None = None
    arches: list[str] | None = None
    min_kernel: str | None = None


class _Rule(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    names: list[str] | None = None
    name: str = ""
    action: str = ""
    errno_ret: int | None = None
    args: list[dict[str, Any]] | None = None
    includes: _Filter | None = None
    excludes: _Filter | None = None


class _Profile(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    default_action: str = ""
    default_errno_ret: int | None = None
    architectures: list[str] | None = None
    arch_map: list[_Architecture] | None = None
    flags: list[str] | None = None
    listener_path: str | None = None
    listener_metadata: str | None = None
    syscalls: list[_Rule] | None = None


class _Host(NamedTuple):
    capabilities: frozenset[str]
    architecture: str
    kernel: tuple[int, int]


def _profile_architectures(profile: _Profile, architecture: str) -> list[str]:
    if profile.architectures:
        return profile.architectures
    native = _ARCHITECTURES.get(architecture, ("",))[0]
    for entry in profile.arch_map or ():
        if entry.architecture == native:
            return [native, *(entry.sub_architectures or ())]
    return []


def _holds(rule: _Rule, host: _Host) -> bool:
    excludes, includes = rule.excludes or _Filter(), rule.includes or _Filter()
    excluded = (
        host.architecture in (excludes.arches or ())
        or bool(host.capabilities.intersection(excludes.caps or ()))
        or (bool(excludes.min_kernel) and host.kernel >= _kernel(excludes.min_kernel))
    )
    included = (
        (not includes.arches or host.architecture in includes.arches)
        and host.capabilities.issuperset(includes.caps or ())
        and host.kernel >= _kernel(includes.min_kernel)
    )
    return included and not excluded


def _kernel(text: str | None) -> tuple[int, int]:
    if not text:
        return 0, 0
    match = _KERNEL.fullmatch(text)
    if match is None or text == "0.0":
        raise InvalidSeccompProfileError(
            f'Decoding seccomp profile failed: invalid kernel version: "{text}", expected "<kernel>.<major>"'
        )
    return int(match[1]), int(match[2])


def _plain_rule(rule: _Rule) -> SeccompObject:
    if rule.name and rule.names:
        raise InvalidSeccompProfileError(
            "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'"
        )
    plain: SeccompObject = {"names": rule.names or [rule.name], "action": rule.action}
    if rule.errno_ret is not None:
        plain["errnoRet"] = rule.errno_ret
    if rule.args:
        plain["args"] = rule.args
    return plain
