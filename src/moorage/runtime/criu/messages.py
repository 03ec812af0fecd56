"""What is said to CRIU and what it says: the few messages of its protocol that a container needs.

Pure. The protocol is protobuf; what is used of it is numbers, and fields of a known length.

Spec: CRIU, images/rpc.proto; protobuf, "Encoding".
"""

from __future__ import annotations

import enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Final

    Value = int | str | bytes

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5

# criu_opts: those that are used here.
_OPTIONS: Final = {
    "images_dir_fd": 1,
    "pid": 2,
    "leave_running": 3,
    "ext_unix_sk": 4,
    "tcp_established": 5,
    "evasive_devices": 6,
    "shell_job": 7,
    "file_locks": 8,
    "log_level": 9,
    "log_file": 10,
    "notify_scripts": 12,
    "root": 13,
    "parent_img": 14,
    "track_mem": 15,
    "auto_dedup": 16,
    "work_dir_fd": 17,
    "manage_cgroups": 24,
    "rst_sibling": 26,
    "ext_masters": 30,
    "manage_cgroups_mode": 34,
    "external": 37,
    "empty_ns": 38,
    "freeze_cgroup": 44,
    "orphan_pts_master": 50,
    "config_file": 51,
    "lsm_profile": 53,
    "lsm_mount_context": 63,
}
# Those that are messages of two fields.
_PAIRS: Final = {"ext_mnt": 23, "cg_root": 25, "inherit_fd": 27, "join_ns": 39}


class Request(enum.IntEnum):
    """Kinds of request, and of the response to it."""

    DUMP = 1
    RESTORE = 2
    PRE_DUMP = 4
    NOTIFY = 6


class CgroupMode(enum.IntEnum):
    """What becomes of control groups."""

    IGNORE = 0
    SOFT = 3
    FULL = 4
    STRICT = 5


class Response:
    """One message from CRIU.

    Attributes:
        script: What it notifies of, or "".
        pid: The process that this is about, or 0.
    """

    __slots__ = ("errno", "kind", "pid", "script", "success")

    def __init__(self, data: bytes) -> None:
        """Read the message.

        Raises:
            ValueError: It is malformed.
        """
        fields = parse(data)
        self.kind = _number(fields, 1)
        self.success = bool(_number(fields, 2))
        self.errno = _number(fields, 7)
        restored, notification = parse(_text(fields, 4)), parse(_text(fields, 5))
        self.script = _text(notification, 1).decode(errors="replace")
        self.pid = _number(restored, 1) or _number(notification, 2)


def request(kind: Request, options: Mapping[str, Any]) -> bytes:
    """Return a request.

    Args:
        options: By name: a number, a text, or for those that may be repeated a list of
            texts or pairs. What is empty or 0 is left out, but for descriptors.
    """
    fields: list[tuple[int, Value]] = []
    for name, value in options.items():
        if name in _PAIRS:
            fields += [(_PAIRS[name], encode([(1, first), (2, second)])) for first, second in value]
        elif isinstance(value, list):
            fields += [(_OPTIONS[name], text) for text in value]
        elif value or name.endswith("_fd"):
            fields.append((_OPTIONS[name], value))
    return encode([(1, int(kind)), (2, encode(fields))])


def acknowledgement(*, success: bool) -> bytes:
    """Return the answer to a notification: go on, or give up."""
    return encode([(1, int(Request.NOTIFY)), (3, int(success))])


def encode(fields: Iterable[tuple[int, Value]]) -> bytes:
    """Return a message of (number, value) fields."""
    encoded = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            encoded += _varint(number << 3 | _VARINT) + _varint(value)
        else:
            data = value.encode(errors="surrogateescape") if isinstance(value, str) else value
            encoded += _varint(number << 3 | _BYTES) + _varint(len(data)) + data
    return bytes(encoded)


def parse(data: bytes) -> dict[int, int | bytes]:
    """Return the fields of a message by number; of repeated ones the last.

    Raises:
        ValueError: It is malformed.
    """
    fields: dict[int, int | bytes] = {}
    offset = 0
    while offset < len(data):
        key, offset = _read_varint(data, offset)
        number, form = key >> 3, key & 7
        if form == _VARINT:
            fields[number], offset = _read_varint(data, offset)
            continue
        if form == _BYTES:
            length, offset = _read_varint(data, offset)
        elif form in {_FIXED64, _FIXED32}:
            length = 8 if form == _FIXED64 else 4
        else:
            raise ValueError(f"a field of unknown form {form}")
        if offset + length > len(data):
            raise ValueError("a field is cut")
        fields[number] = data[offset : offset + length]
        offset += length
    return fields


def _number(fields: Mapping[int, int | bytes], number: int) -> int:
    value = fields.get(number, 0)
    return value if isinstance(value, int) else 0


def _text(fields: Mapping[int, int | bytes], number: int) -> bytes:
    value = fields.get(number, b"")
    return value if isinstance(value, bytes) else b""


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(data: bytes, offset: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if offset >= len(data):
            raise ValueError("a number is cut")
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, offset
    raise ValueError("a number is too long")
