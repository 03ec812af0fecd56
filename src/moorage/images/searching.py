"""Searching Docker Hub.

Spec: Engine API, GET /images/search.
"""

from dataclasses import dataclass
from typing import Final

from moorage.api.filters import Filters, InvalidFilterError
from moorage.api.images import ImageSearchResult
from moorage.errors import InvalidParameterError
from moorage.registry.gateway import RegistryGateway

_DEFAULT_LIMIT: Final = 25
_LARGEST_LIMIT: Final = 100


class SearchLimitError(InvalidParameterError):
    """More results were asked for than an index gives."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"limit {limit} is outside the range of [1, {_LARGEST_LIMIT}]")


class NoSearchTermError(InvalidParameterError):
    """Nothing to look for was given."""

    def __init__(self) -> None:
        super().__init__("search term is required")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSearcher:
    """Finds repositories by words."""

    registries: RegistryGateway

    async def search(self, term: str, *, limit: int, filters: Filters) -> list[ImageSearchResult]:
        """Return what the index finds and the filters let through.

        Raises:
            SearchLimitError: `limit` is neither 0 nor one to a hundred.
            RegistryUnreachableError: The index does not answer.
        """
        if not term:
            raise NoSearchTermError
        if limit and not 1 <= limit <= _LARGEST_LIMIT:
            raise SearchLimitError(limit)
        official = filters.boolean("is-official", default=False) if "is-official" in filters else None
        automated = filters.boolean("is-automated", default=False)
        stars = _least_stars(filters)
        found = await self.registries.client().search(term, limit=limit or _DEFAULT_LIMIT)
        return [
            ImageSearchResult(
                star_count=one.star_count,
                is_official=one.is_official,
                name=one.name,
                # Docker Hub gave automated builds up; none is one any more.
                is_automated=False,
                description=one.description or "",
            )
            for one in found
            if one.star_count >= stars and official in {None, one.is_official} and not automated
        ]


def _least_stars(filters: Filters) -> int:
    values = filters.get("stars")
    if not all(value.isdecimal() for value in values):
        raise InvalidFilterError("stars", values)
    return max(map(int, values), default=0)
