"""The ``--filter`` flag.

Pure.
"""

from collections.abc import Iterable

from moorage.api.filters import Filters
from moorage.cli.grammar import FlagValueError


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
