"""Shell patterns as Go's path.Match reads them: a star stops at a slash, ``[^a]`` negates, a backslash quotes.

Pure: no I/O.

Spec: Go's package path, "func Match".
"""

import functools
import re
from typing import Final

from moorage.errors import InvalidParameterError

_ANY: Final = {"*": "[^/]*", "?": "[^/]"}


class InvalidPatternError(InvalidParameterError):
    """The text is no pattern; Go's words."""

    def __init__(self) -> None:
        super().__init__("syntax error in pattern")


def matches_glob(text: str, *, pattern: str) -> bool:
    """Tell whether a pattern fits the whole text.

    Raises:
        InvalidPatternError: A class is not closed or empty, or nothing follows a backslash.
    """
    return _compiled(pattern).fullmatch(text) is not None


@functools.lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    found, left = "", pattern
    while left:
        if left[0] == "[":
            piece, left = _class(left[1:])
        elif left[0] in _ANY:
            piece, left = _ANY[left[0]], left[1:]
        else:
            character, left = _character(left)
            piece = re.escape(character)
        found += piece
    return re.compile(found, re.DOTALL)


def _class(left: str) -> tuple[str, str]:
    """Return the expression of a class whose bracket was read, and what follows the class."""
    negated = left.startswith("^")
    left = left[negated:]
    ranges: list[str] = []
    while not ranges or not left.startswith("]"):
        low, left = _member(left)
        high = low
        if left.startswith("-"):
            high, left = _member(left[1:])
        # One that is upside down holds nothing, and is no error.
        ranges.append(f"[{re.escape(low)}-{re.escape(high)}]" if low <= high else "(?!)")
    either = "|".join(ranges)
    return (f"(?!{either})." if negated else f"(?:{either})"), left[1:]


def _member(left: str) -> tuple[str, str]:
    if left[:1] in {"", "-", "]"}:
        raise InvalidPatternError
    return _character(left)


def _character(left: str) -> tuple[str, str]:
    """Return the next character, which may be quoted, and what follows."""
    if left[0] != "\\":
        return left[0], left[1:]
    if len(left) == 1:
        raise InvalidPatternError
    return left[1], left[2:]
