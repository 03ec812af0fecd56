"""Numbers of tar headers: octal text, GNU's base-256, and pax decimals."""

from __future__ import annotations

import functools

from moorage.oci.tar import CorruptArchiveError

_OCTAL = b"01234567"
_INT64 = 1 << 63
_SECOND = 1_000_000_000


@functools.lru_cache(maxsize=4096)
def parse_number(field: bytes) -> int:
    """Return the value of a numeric header field; an empty one is 0.

    Cached: the modes, owners and times of an image repeat, and parsing would be a third
    of the cost of a header.

    Raises:
        CorruptArchiveError: Neither octal nor base-256, or beyond 64 bits.
    """
    if field and field[0] & 0x80:
        return _parse_base256(field)
    text = field.strip(b" \0")
    if text.translate(None, _OCTAL):
        raise CorruptArchiveError(f"bad number {field!r}")
    return int(text, 8) if text else 0


def _parse_base256(field: bytes) -> int:
    # The top bit marks the form; the one below it is the sign of a two's complement number.
    bits = 8 * len(field) - 1
    value = int.from_bytes(field, "big") & ((1 << bits) - 1)
    if value >> (bits - 1):
        value -= 1 << bits
    if not -_INT64 <= value < _INT64:
        raise CorruptArchiveError(f"number {field!r} is beyond 64 bits")
    return value


def format_octal(value: int, width: int) -> bytes | None:
    """Return a field of `width` bytes ending in NUL, or None when the value does not fit."""
    if value < 0 or value >= 1 << (3 * (width - 1)):
        return None
    return b"%0*o\0" % (width - 1, value)


def parse_decimal(text: bytes) -> int:
    """Return the value of a pax record that counts something.

    Raises:
        CorruptArchiveError: Not a decimal number of 64 bits, or negative.
    """
    if not text.isdigit() or len(text) > 20 or (value := int(text)) >= _INT64:
        raise CorruptArchiveError(f"bad pax number {text[:40]!r}")
    return value


def parse_time(text: bytes) -> int:
    """Return the nanoseconds of a pax time; finer fractions are cut.

    Raises:
        CorruptArchiveError: Not seconds of 64 bits with an optional fraction.
    """
    negative = text.startswith(b"-")
    whole, _, fraction = text[negative:].partition(b".")
    if not whole.isdigit() or len(whole) > 20 or (fraction and not fraction.isdigit()):
        raise CorruptArchiveError(f"bad pax time {text[:40]!r}")
    if int(whole) >= _INT64:
        raise CorruptArchiveError(f"bad pax time {text[:40]!r}")
    value = int(whole) * _SECOND + int(fraction[:9].ljust(9, b"0"))
    return -value if negative else value


def format_time(value: int) -> bytes:
    """Return a pax time with as many digits as it needs."""
    seconds, fraction = divmod(abs(value), _SECOND)
    sign = b"-" if value < 0 else b""
    tail = (b".%09d" % fraction).rstrip(b"0") if fraction else b""
    return b"%s%d%s" % (sign, seconds, tail)
