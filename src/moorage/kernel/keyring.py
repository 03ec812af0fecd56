"""Session keyrings: keyctl(2)."""

from __future__ import annotations

import ctypes

from moorage.kernel.libc import check, encode, syscall, syscall_number

_KEYCTL = syscall_number(x86_64=250, generic=219)
_GET_KEYRING_ID, _JOIN_SESSION_KEYRING, _SETPERM, _DESCRIBE = 0, 1, 5, 6
KEY_SPEC_SESSION_KEYRING = -3


def join_session_keyring(name: str | None) -> int:
    """Leave the session keyring for the one called `name`, made if needed (None: a nameless new one)."""
    return check(syscall(_KEYCTL, _JOIN_SESSION_KEYRING, encode(name)), "keyctl[JOIN_SESSION_KEYRING]", name)


def session_keyring() -> int:
    """Return the number of the caller's session keyring."""
    return check(syscall(_KEYCTL, _GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0), "keyctl[GET_KEYRING_ID]")


def describe(key: int) -> tuple[str, int, int, int, str]:
    """Return a key's (type, user, group, permissions, description)."""
    buffer = ctypes.create_string_buffer(4096)
    size = check(syscall(_KEYCTL, _DESCRIBE, key, buffer, len(buffer)), "keyctl[DESCRIBE]", key)
    kind, user, group, permissions, description = buffer.raw[: size - 1].decode(errors="replace").split(";", 4)
    return kind, int(user), int(group), int(permissions, 16), description


def set_permissions(key: int, permissions: int) -> None:
    """Set a key's permissions: possessor, user, group, other, a byte each from the top."""
    check(syscall(_KEYCTL, _SETPERM, key, permissions), "keyctl[SETPERM]", key)
