"""Values of log options, read as Go reads them and refused in its words.

Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_SIZE: Final = re.compile(r"(?P<number>[0-9]*\.?[0-9]+) ?(?P<unit>[kmgtp]?)i?b?", re.IGNORECASE)
_SUFFIX: Final = re.compile(r"[0-9]*\.?[0-9]+ ?(?P<suffix>[^0-9. ]+)")
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_URL: Final = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):)?(?P<rest>.*)", re.DOTALL)


class ValueRefusedError(ValueError):
    """The text is none of what is needed."""


def read_size(text: str, *, unit: int = 1000) -> int:
    """Return a number of bytes.

    Args:
        unit: What a kilobyte is: 1000, or 1024 where the option says how much memory to use.

    Raises:
        ValueRefusedError: It is none.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        wrong = _SUFFIX.fullmatch(text)
        raise ValueRefusedError(f"invalid suffix: '{wrong['suffix']}'" if wrong else f"invalid size: '{text}'")
    return int(float(match["number"]) * unit ** _POWERS[match["unit"].lower()])


def read_integer(text: str) -> int:
    """Return a number.

    Raises:
        ValueRefusedError: It is none.
    """
    if not re.fullmatch(r"[+-]?[0-9]+", text, re.ASCII):
        raise ValueRefusedError(f'strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def read_unsigned(text: str, *, bits: int) -> int:
    """Return a number that is not negative and fits in so many bits.

    Raises:
        ValueRefusedError: It is none.
    """
    if not re.fullmatch(r"[0-9]+", text, re.ASCII):
        raise ValueRefusedError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    if int(text) >= 1 << bits:
        raise ValueRefusedError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)


def read_boolean(text: str) -> bool:
    """Return a truth value.

    Raises:
        ValueRefusedError: It is none.
    """
    if text not in _TRUE | _FALSE:
        raise ValueRefusedError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return text in _TRUE


@dataclass(frozen=True, slots=True, kw_only=True)
class URL:
    """The parts of an address.

    Attributes:
        scheme: In lower case; empty without one.
        host: With the port, if there is one.
    """

    scheme: str
    host: str
    path: str


def read_url(text: str) -> URL:
    """Return the parts of an address.

    Raises:
        ValueRefusedError: It is none.
    """
    if text.startswith(":"):
        raise ValueRefusedError(f'parse "{text}": missing protocol scheme')
    match = _URL.fullmatch(text)
    scheme, rest = (match["scheme"] or "", match["rest"]) if match else ("", text)
    if not scheme and ":" in rest.partition("/")[0]:
        raise ValueRefusedError(f'parse "{text}": first path segment in URL cannot contain colon')
    if not rest.startswith("//"):
        return URL(scheme=scheme.lower(), host="", path=rest)
    host, slash, path = rest[2:].partition("/")
    return URL(scheme=scheme.lower(), host=host, path=slash + path)


def split_host(text: str) -> tuple[str, str | None]:
    """Return the host and the port of `host:port`, `[host]:port` or a host alone.

    Raises:
        ValueRefusedError: It is malformed.
    """
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket:
            raise ValueRefusedError(f"address {text}: missing ']' in address")
        if not rest:
            return host, None
        if not rest.startswith(":"):
            raise ValueRefusedError(f"address {text}: unexpected characters after ']'")
        return host, rest[1:]
    if text.count(":") > 1:
        raise ValueRefusedError(f"address {text}: too many colons in address")
    host, colon, port = text.partition(":")
    return host, port if colon else None
