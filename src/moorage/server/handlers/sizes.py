"""The size of a terminal, as both resize operations take it."""

from typing import Final

from moorage.api.containers import ResizeQuery
from moorage.engine.containers.errors import RequestRefusedError

_MOST: Final = (1 << 32) - 1


def read_size(query: ResizeQuery) -> tuple[int, int]:
    """Return rows and columns.

    Raises:
        RequestRefusedError: One is missing, or no 32-bit number; Docker's words.
    """
    return _read("height", query.h), _read("width", query.w)


def _read(name: str, text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isdecimal() and digits.isascii()):
        raise RequestRefusedError(f'invalid resize {name} "{text}": invalid syntax')
    number = int(text)
    if not 0 <= number <= _MOST:
        raise RequestRefusedError(f'invalid resize {name} "{text}": value out of range')
    return number
