"""Numbers as people write them: bytes, durations, processors.

Pure.
"""

import re
from typing import TYPE_CHECKING, Any, Final

import click

from moorage.api.timestamps import MalformedDurationError, read_duration

if TYPE_CHECKING:
    _IntegerType = click.ParamType[int]
else:
    # Older releases have no such subscript.
    _IntegerType = click.ParamType

_BYTES: Final = re.compile(r"(-?\d+(?:\.\d+)?) ?([bkmgtp]?)(?:i?b)?", re.IGNORECASE)
_POWERS: Final = "bkmgtp"


def parse_bytes(text: str) -> int:
    """Return the number of bytes in a text such as ``512m`` or ``1.5GiB``.

    Raises:
        ValueError: The text is no size.
    """
    match = _BYTES.fullmatch(text.strip())
    if match is None or match[1].startswith("-"):
        raise ValueError(f"invalid size: '{text}'")
    return int(float(match[1]) * 1024 ** _POWERS.index(match[2].lower() or "b"))


def parse_swap(text: str) -> int:
    """Return a number of bytes as `parse_bytes` does; -1 stands for no limit.

    Raises:
        ValueError: The text is no size.
    """
    return -1 if text == "-1" else parse_bytes(text)


def parse_integer(text: str) -> int:
    """Return a whole number.

    Raises:
        ValueError: The text is none; in the words of Docker's own parser.
    """
    if not re.fullmatch(r"[-+]?\d+", text, re.ASCII):
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def parse_duration(text: str) -> int:
    """Return the nanoseconds in a text such as ``1m30s``.

    Raises:
        ValueError: The text is no duration.
    """
    try:
        return read_duration(text)
    except MalformedDurationError as error:
        raise ValueError(str(error)) from None


def parse_cpus(text: str) -> int:
    """Return the billionths of a processor in a decimal number.

    Raises:
        ValueError: The text is no such number, or finer than a billionth.
    """
    if not re.fullmatch(r"\d*\.?\d+|\d+\.", text):
        raise ValueError(f"failed to parse {text} as a rational number")
    whole, _, fraction = text.partition(".")
    if len(fraction.rstrip("0")) > 9:
        raise ValueError("value is too precise")
    return int(whole or 0) * 1_000_000_000 + int(fraction.rstrip("0").ljust(9, "0") or 0)


class InvalidValueError(click.BadParameter):
    """An option has a value that can't be read.

    Attributes:
        value: As the user wrote it.
    """

    def __init__(self, message: str, value: str, *, param: click.Parameter | None, ctx: click.Context | None) -> None:
        super().__init__(message, param=param, ctx=ctx)
        self.value = value


class _Quantity(_IntegerType):
    def __init__(self, name: str, parse: Any) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            raise InvalidValueError(str(error), value, param=param, ctx=ctx) from None


BYTES: Final = _Quantity("bytes", parse_bytes)
SWAP: Final = _Quantity("bytes", parse_swap)
INTEGER: Final = _Quantity("int", parse_integer)
DURATION: Final = _Quantity("duration", parse_duration)
CPUS: Final = _Quantity("decimal", parse_cpus)
