"""The `filters` parameter: which objects a client wants to see.

Values of one key are alternatives; different keys must all match. What a key means is the
business of the noun it filters; here are the wire forms and the ways of comparing.

Spec: Engine API notes on `filters`; both forms are JSON objects: {"key": ["value"]} and,
before API 1.22, {"key": {"value": true}}.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from moorage.errors import InvalidParameterError

_TRUE = frozenset({"1", "true"})
_FALSE = frozenset({"0", "false"})


class InvalidFilterError(InvalidParameterError):
    """The filter's key is unknown here, or its value cannot be understood."""

    def __init__(self, key: str, values: Iterable[str] | None = None) -> None:
        if values is None:
            super().__init__(f"invalid filter '{key}'")
        else:
            super().__init__(f"invalid filter '{key}={format_go_list(values)}'")


class MalformedFiltersError(InvalidParameterError):
    """The parameter is not a JSON object of either form."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid filter: {reason}")


def format_go_list(values: Iterable[str]) -> str:
    """Print a list as Go's %s does: [a b]."""
    return "[" + " ".join(values) + "]"


class Accepts:
    """The keys one operation understands; metadata of an annotated `Filters` field."""

    __slots__ = ("keys",)

    def __init__(self, *keys: str) -> None:
        self.keys = frozenset(keys)


@dataclasses.dataclass(frozen=True, slots=True)
class Filters:
    """Filter keys, each with the values asked for."""

    values: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.values)

    def __contains__(self, key: object) -> bool:
        return key in self.values

    def get(self, key: str) -> tuple[str, ...]:
        """Return the values of a key, none if it is absent."""
        return self.values.get(key, ())

    def without(self, *keys: str) -> Filters:
        """Return the same filters, less some keys."""
        return Filters({key: values for key, values in self.values.items() if key not in keys})

    def matches(self, key: str, value: str) -> bool:
        """Tell whether `value` is among the key's values; an absent key matches everything."""
        wanted = self.values.get(key)
        return not wanted or value in wanted

    def matches_prefix(self, key: str, value: str) -> bool:
        """Tell whether `value` begins with one of the key's values; an absent key matches everything."""
        wanted = self.values.get(key)
        return not wanted or value.startswith(wanted)

    def matches_pattern(self, key: str, value: str) -> bool:
        """Tell whether one of the key's values is, or is a regular expression found in, `value`.

        People write ^name$; an absent key matches everything.
        """
        wanted = self.values.get(key)
        return not wanted or any(_is_found(pattern, value) for pattern in wanted)

    def matches_labels(self, labels: Mapping[str, str] | None, *, key: str = "label") -> bool:
        """Tell whether all of the key's `name` and `name=value` conditions hold for `labels`.

        Unlike other keys, several labels must all be present.
        """
        held = labels or {}
        for condition in self.values.get(key, ()):
            name, has_value, value = condition.partition("=")
            if name not in held or (has_value and held[name] != value):
                return False
        return True

    def boolean(self, key: str, *, default: bool) -> bool:
        """Return the truth value of a key that takes one.

        Raises:
            InvalidFilterError: Not one of 1, true, 0, false, or both at once.
        """
        if key not in self.values:
            return default
        values = self.values[key]
        found_true, found_false = any(v in _TRUE for v in values), any(v in _FALSE for v in values)
        if found_true == found_false:
            raise InvalidFilterError(key, values)
        return found_true

    def require_known(self, accepted: frozenset[str]) -> None:
        """Refuse keys outside `accepted`.

        Raises:
            InvalidFilterError: Names the first such key.
        """
        for key in self.values:
            if key not in accepted:
                raise InvalidFilterError(key)

    def to_json(self) -> str:
        """Return the form that API 1.22 and later take."""
        return msgspec.json.encode({key: list(values) for key, values in self.values.items()}).decode()


def _is_found(pattern: str, value: str) -> bool:
    try:
        return pattern == value or re.search(pattern, value) is not None
    except re.error:
        return False


def read_filters(text: str) -> Filters:
    """Decode either JSON form; empty text is no filters.

    Raises:
        MalformedFiltersError: It is something else.
    """
    if not text:
        return Filters()
    try:
        decoded: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedFiltersError(str(error)) from None
    if decoded is None:
        return Filters()
    if not isinstance(decoded, dict):
        raise MalformedFiltersError("not an object")
    return Filters({key: _read_values(key, values) for key, values in decoded.items()})


def _read_values(key: str, values: Any) -> tuple[str, ...]:
    if values is None:
        return ()
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return tuple(dict.fromkeys(values))
    if isinstance(values, dict) and all(isinstance(flag, bool) for flag in values.values()):
        # The old form; Docker takes the keys and never looked at the flags.
        return tuple(values)
    raise MalformedFiltersError(f"values of '{key}' are neither a list of strings nor an object of booleans")
