"""The flags by which listings are narrowed: ``--filter``, ``--since``, ``--until``.

Pure.
"""

from collections.abc import Iterable

from moorage.api.filters import Filters
from moorage.api.timestamps import read_time
from moorage.cli.grammar import FlagValueError
from moorage.errors import InvalidParameterError


class InvalidTimeError(InvalidParameterError):
    """A text is neither a time nor a duration."""


def check_time(text: str, *, flag: str = "") -> str:
    """Return the text of ``--since`` or ``--until`` if the engine will understand it.

    Raises:
        InvalidTimeError: In Docker's words.
    """
    try:
        if text:
            read_time(text, now=0)
    except InvalidParameterError:
        prefix = f'invalid value for "{flag}": ' if flag else ""
        raise InvalidTimeError(f'{prefix}failed to parse value as time or duration: "{text}"') from None
    return text


def parse_filters(texts: Iterable[str]) -> Filters:
    """Return the filters of ``key=value`` texts.

    Raises:
        FlagValueError: One has no ``=``.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator:
            raise FlagValueError(text, "bad format of filter (expected name=value)", flag="-f, --filter")
        name = key.strip().lower()
        found[name] = (*found.get(name, ()), value.strip())
    return Filters(found)
