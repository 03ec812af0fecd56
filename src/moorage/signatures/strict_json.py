"""JSON in which nothing is said twice: two readers of a signed text must not see two texts."""

import json
from collections.abc import Sequence
from typing import Any


class StrictJSONError(ValueError):
    """The text is no JSON, or says something twice, or has other fields than it should have."""


def decode(raw: bytes) -> Any:
    """Read a JSON document.

    Raises:
        StrictJSONError: It is none, or an object in it has a field twice.
    """
    try:
        return json.loads(raw, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise StrictJSONError(str(error)) from None


def fields(value: Any, *, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
    """Return an object that has the fields it should have, and no other.

    Raises:
        StrictJSONError: It has not.
    """
    if not isinstance(value, dict):
        raise StrictJSONError(f"an object with {', '.join(required)} is needed")
    for name in required:
        if name not in value:
            raise StrictJSONError(f'the field "{name}" is missing')
    for name in value:
        if name not in required and name not in optional:
            raise StrictJSONError(f'the field "{name}" is not known')
    return value


def text(value: Any, *, name: str) -> str:
    """Return a string.

    Raises:
        StrictJSONError: It is none.
    """
    if not isinstance(value, str):
        raise StrictJSONError(f'"{name}" must be a string')
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise StrictJSONError(f'the field "{next(name for name in names if names.count(name) > 1)}" is there twice')
    return found
