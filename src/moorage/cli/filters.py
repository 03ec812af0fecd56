"""The ``--filter`` flag.

Pure.
"""

from collections.abc import Iterable

from moorage.api.filters import Filters
from moorage.errors import InvalidParameterError


class FilterSyntaxError(InvalidParameterError):
    """A filter is not of the form ``key=value``."""


def parse_filters(texts: Iterable[str]) -> Filters:
    """Return the filters of ``key=value`` texts.

    Raises:
        FilterSyntaxError: One has no ``=``.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator:
            raise FilterSyntaxError(
                f'invalid argument "{text}" for "-f, --filter" flag: bad format of filter (expected name=value)'
            )
        name = key.strip().lower()
        found[name] = (*found.get(name, ()), value.strip())
    return Filters(found)
