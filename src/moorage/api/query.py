"""Query strings: Docker's rules for booleans, numbers, repeated keys and filters.

A query model is a Struct whose attributes are the parameters; `name=` where the wire has
capitals or dashes. Unknown parameters are ignored, as Docker does.
"""

import functools
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qs

import msgspec

from moorage.api.filters import Accepts, Filters, read_filters
from moorage.api.wire import always
from moorage.errors import InvalidParameterError

# int() takes underscores, blanks and foreign digits, which Go refuses.
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)
_FALSE: Final = frozenset({"", "0", "no", "false", "none"})


class InvalidNumberError(InvalidParameterError):
    """A parameter that must be a whole number is not one."""

    def __init__(self, text: str) -> None:
        # Go's own wording: clients show it.
        super().__init__(f'strconv.Atoi: parsing "{text}": invalid syntax')


class MalformedQueryError(InvalidParameterError):
    """The query string cannot be split into parameters."""


@typing.dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field, always))
class Query(msgspec.Struct, frozen=True):
    """The parameters of one operation."""


class NoQuery(Query):
    """An operation without parameters."""


QueryT = TypeVar("QueryT", bound=Query)
_Convert = Callable[[list[str]], Any]


def read_boolean(text: str) -> bool:
    """Return Docker's truth value: everything but "", 0, no, false and none (in any case) is true."""
    return text.strip().lower() not in _FALSE


def _read_number(text: str) -> int:
    if not text:
        return 0
    if not _NUMBER.fullmatch(text):
        raise InvalidNumberError(text)
    return int(text)


_SCALARS: Final[Mapping[type, Callable[[str], Any]]] = {str: str, int: _read_number, bool: read_boolean}


def _converter(annotation: Any) -> _Convert:
    accepted: frozenset[str] | None = None
    if typing.get_origin(annotation) is Annotated:
        annotation, *extras = typing.get_args(annotation)
        accepted = next((extra.keys for extra in extras if isinstance(extra, Accepts)), None)
    if annotation is Filters:
        return _filters_converter(accepted)
    if typing.get_origin(annotation) is types.UnionType:
        annotation = next(item for item in typing.get_args(annotation) if item is not types.NoneType)
    if typing.get_origin(annotation) is list:
        return lambda values: values
    convert = _SCALARS[annotation]
    return lambda values: convert(values[0])


def _filters_converter(accepted: frozenset[str] | None) -> _Convert:
    def convert(values: list[str]) -> Filters:
        filters = read_filters(values[0])
        if accepted is not None:
            filters.require_known(accepted)
        return filters

    return convert


@functools.cache
def _converters(model: type[Query]) -> Mapping[str, tuple[str, _Convert]]:
    hints = typing.get_type_hints(model, include_extras=True)
    return {field.encode_name: (field.name, _converter(hints[field.name])) for field in msgspec.structs.fields(model)}


def read_query(text: str, model: type[QueryT]) -> QueryT:
    """Decode a query string.

    Raises:
        InvalidParameterError: A value breaks its parameter's rule; the message says which.
    """
    if not text:
        return model()
    if ";" in text:
        raise MalformedQueryError("invalid semicolon separator in query")
    if (bad := _BAD_ESCAPE.search(text)) is not None:
        raise MalformedQueryError(f'invalid URL escape "{bad[0]}"')
    try:
        given = parse_qs(text, keep_blank_values=True, max_num_fields=1000)
    except ValueError as error:
        raise MalformedQueryError(str(error)) from None
    converters = _converters(model)
    found: dict[str, Any] = {}
    for name, values in given.items():
        if converter := converters.get(name):
            found[converter[0]] = converter[1](values)
    return model(**found)
