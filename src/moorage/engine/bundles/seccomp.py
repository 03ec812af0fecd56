"""The seccomp filter of a container: the default profile, a custom one, or none.

Pure: a profile becomes the runtime-spec's ``linux.seccomp`` object; the runtime turns
that into a BPF program.

Spec: runtime-spec, config-linux.md "Seccomp".
"""

import errno
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from moorage.engine.bundles.seccomp_syscalls import ALWAYS, BY_CAPABILITY
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
_AF_VSOCK: Final = 40

# personality(2) may be asked (0xffffffff) or set to what ordinary programs use:
# PER_LINUX, PER_LINUX32, and both with ADDR_NO_RANDOMIZE's neighbours UNAME26.
_PERSONALITIES: Final = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)


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
        {"names": sorted({*ALWAYS, *opened}), "action": _ALLOW},
        _compare("socket", 0, _AF_VSOCK, "SCMP_CMP_NE"),
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


def custom_profile(text: str, capabilities: Sequence[str], *, architecture: str) -> SeccompObject:
    """Return the filter of a user's profile, which the client sends as its JSON text.

    A profile may list ``archMap`` instead of ``architectures``, and a rule may hold only
    with or without capabilities or on some architectures (``includes``, ``excludes``).

    Raises:
        InvalidSeccompProfileError: The text is not of this form.
    """
    try:
        profile = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InvalidSeccompProfileError(f"Decoding seccomp profile failed: {error}") from None
    if not isinstance(profile.get("defaultAction"), str):
        raise InvalidSeccompProfileError("Decoding seccomp profile failed: defaultAction is missing")
    if profile.get("archMap") and profile.get("architectures"):
        raise InvalidSeccompProfileError("both 'architectures' and 'archMap' are specified in the seccomp profile")
    held = frozenset(capabilities)
    filtered: SeccompObject = {
        key: profile[key]
        for key in ("defaultAction", "defaultErrnoRet", "flags", "listenerPath", "listenerMetadata")
        if profile.get(key) is not None
    }
    filtered["architectures"] = _profile_architectures(profile, architecture)
    filtered["syscalls"] = [
        _plain_rule(rule) for rule in profile.get("syscalls") or () if _holds(rule, held, architecture)
    ]
    return filtered


def _profile_architectures(profile: SeccompObject, architecture: str) -> list[str]:
    if profile.get("architectures"):
        return list(profile["architectures"])
    native = _ARCHITECTURES.get(architecture, ("",))[0]
    for entry in profile.get("archMap") or ():
        if entry.get("architecture") == native:
            return [native, *(entry.get("subArchitectures") or ())]
    return []


def _holds(rule: SeccompObject, capabilities: frozenset[str], architecture: str) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if capabilities.intersection(excludes.get("caps") or ()) or architecture in (excludes.get("arches") or ()):
        return False
    if includes.get("arches") and architecture not in includes["arches"]:
        return False
    return capabilities.issuperset(includes.get("caps") or ())


def _plain_rule(rule: SeccompObject) -> SeccompObject:
    names = rule.get("names") or ([rule["name"]] if rule.get("name") else [])
    plain: SeccompObject = {"names": names, "action": rule.get("action", _ALLOW)}
    if rule.get("errnoRet") is not None:
        plain["errnoRet"] = rule["errnoRet"]
    if rule.get("args"):
        plain["args"] = rule["args"]
    return plain
