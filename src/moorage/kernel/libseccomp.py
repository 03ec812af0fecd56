"""Compile a runtime specification seccomp profile to classic BPF by the host's libseccomp.

Spec: runtime-spec, config-linux.md "Seccomp".
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from moorage.kernel.libc import MACHINE
from moorage.kernel.memfd import memfd_create
from moorage.kernel.seccomp import SeccompError
from moorage.kernel.seccomp_stub import unknown_call_stub

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_ERRNO, _TRACE = 0x00050000, 0x7FF00000
ACTIONS: dict[str, int] = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": _ERRNO,
    "SCMP_ACT_TRACE": _TRACE,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
}
OPERATORS: dict[str, int] = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
_ARCH_PREFIX = "SCMP_ARCH_"
_NATIVE = {"x86_64": "X86_64", "aarch64": "AARCH64", "riscv64": "RISCV64", "loongarch64": "LOONGARCH64"}
_ATTRIBUTE_NNP, _ATTRIBUTE_OPTIMIZE = 3, 8
_BINARY_TREE = 2
_UNKNOWN_CALL = -1  # __NR_SCMP_ERROR
_COMPARISON = struct.Struct("=IiQQ")  # struct scmp_arg_cmp


class LibseccompMissingError(SeccompError):
    """The host has no libseccomp, so no profile can be applied."""

    def __init__(self) -> None:
        super().__init__(
            "seccomp: libseccomp.so.2 was not found on this host; install libseccomp, "
            "or run without a profile (--security-opt seccomp=unconfined)"
        )


def _open_library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise LibseccompMissingError from error
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_release.restype = None
    library.seccomp_arch_add.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.seccomp_arch_remove.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.seccomp_arch_resolve_name.argtypes = (ctypes.c_char_p,)
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    library.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    library.seccomp_syscall_resolve_name_arch.argtypes = (ctypes.c_uint32, ctypes.c_char_p)
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_char_p,
    )
    library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    return library


def compile_profile(profile: Mapping[str, Any]) -> bytes:
    """Return the BPF instructions, 8 bytes each, of a `linux.seccomp` object.

    System calls that libseccomp has never heard of are left out, as runc does.

    Raises:
        LibseccompMissingError: The host has no libseccomp.
        SeccompError: An action, operator or architecture is unknown, or libseccomp refused
            a rule.
    """
    library = _open_library()
    default = _action(profile.get("defaultAction", ""), profile.get("defaultErrnoRet"))
    context = library.seccomp_init(default)
    if not context:
        raise SeccompError(f"libseccomp refused the default action {profile.get('defaultAction')!r}")
    try:
        architectures = _add_architectures(library, context, profile)
        library.seccomp_attr_set(context, _ATTRIBUTE_NNP, 0)
        # Old versions have no binary tree; the filter is then linear and as right.
        library.seccomp_attr_set(context, _ATTRIBUTE_OPTIMIZE, _BINARY_TREE)
        for rule in profile.get("syscalls") or ():
            _add_rule(library, context, rule, default)
        bpf = _export(library, context)
    finally:
        library.seccomp_release(context)
    return _stub(library, profile, architectures) + bpf


def _action(name: str, number: int | None) -> int:
    if name not in ACTIONS:
        raise SeccompError(f"invalid seccomp action {name!r}")
    action = ACTIONS[name]
    if action in {_ERRNO, _TRACE}:
        return action | (errno.EPERM if number is None else number) & 0xFFFF
    if number:
        raise SeccompError(f"seccomp: errnoRet is not supported with action {name}")
    return action


def _add_architectures(library: ctypes.CDLL, context: int, profile: Mapping[str, Any]) -> dict[str, int]:
    names = profile.get("architectures") or ()
    # The native one is in a new context already; the profile decides about the others only.
    found = {_NATIVE[MACHINE]: library.seccomp_arch_resolve_name(_NATIVE[MACHINE].lower().encode())}
    for name in names:
        short = name.removeprefix(_ARCH_PREFIX)
        token = library.seccomp_arch_resolve_name(short.lower().encode())
        if not token:
            raise SeccompError(f"unknown seccomp architecture {name!r}")
        result = library.seccomp_arch_add(context, token)
        if result not in {0, -errno.EEXIST}:
            raise SeccompError(f"libseccomp refused the architecture {name}: {os.strerror(-result)}")
        found[short] = token
    return found


def _add_rule(library: ctypes.CDLL, context: int, rule: Mapping[str, Any], default: int) -> None:
    action = _action(rule["action"], rule.get("errnoRet"))
    if action == default:
        # libseccomp refuses a rule that changes nothing.
        return
    groups = list(_comparison_groups(rule.get("args") or ()))
    for name in rule["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == _UNKNOWN_CALL:
            continue
        for group in groups:
            result = library.seccomp_rule_add_array(context, action, number, len(group), b"".join(group))
            if result not in {0, -errno.EEXIST}:
                raise SeccompError(f"libseccomp refused the rule for {name}: {os.strerror(-result)}")


def _comparison_groups(arguments: Any) -> Iterator[list[bytes]]:
    """Yield the rules that a list of conditions stands for.

    Conditions on different arguments must all hold. libseccomp takes only one condition
    per argument, so when two name the same argument each becomes a rule of its own: any
    of them may hold, which is what Docker's profiles mean and runc does.
    """
    comparisons = [_comparison(argument) for argument in arguments]
    if len({argument["index"] for argument in arguments}) < len(comparisons):
        for comparison in comparisons:
            yield [comparison]
    else:
        yield comparisons


def _comparison(argument: Mapping[str, Any]) -> bytes:
    name = argument.get("op", "")
    if name not in OPERATORS:
        raise SeccompError(f"invalid seccomp operator {name!r}")
    index = argument["index"]
    if not 0 <= index < 6:
        raise SeccompError(f"seccomp: no system call has an argument {index}")
    return _COMPARISON.pack(index, OPERATORS[name], argument["value"], argument.get("valueTwo") or 0)


def _export(library: ctypes.CDLL, context: int) -> bytes:
    fd = memfd_create("seccomp")
    try:
        result = library.seccomp_export_bpf(context, fd)
        if result != 0:
            raise SeccompError(f"libseccomp could not write the filter: {os.strerror(-result)}")
        return os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)


def _stub(library: ctypes.CDLL, profile: Mapping[str, Any], architectures: Mapping[str, int]) -> bytes:
    default = ACTIONS[profile["defaultAction"]]
    if (
        default in {ACTIONS["SCMP_ACT_ALLOW"], ACTIONS["SCMP_ACT_LOG"]}
        or profile.get("defaultErrnoRet") == errno.ENOSYS
    ):
        return b""
    highest: dict[str, int] = {}
    for name, token in architectures.items():
        numbers = (
            library.seccomp_syscall_resolve_name_arch(token, call.encode())
            for rule in profile.get("syscalls") or ()
            for call in rule["names"]
        )
        # Negative numbers are libseccomp's own, for calls that this architecture lacks.
        highest[name] = max(numbers, default=-1)
    return unknown_call_stub({name: number for name, number in highest.items() if number >= 0})
