"""What the engine answered as a template of Docker's sees it: with the types of the API's models."""

import types
import typing
from typing import Any, Final

import msgspec

from moorage.templates.values import Nothing, Record, Table

_MISSING: Final = object()
_ZEROES: Final = {str: "", int: 0, float: 0.0, bool: False}


def typed(raw: Any, kind: Any) -> Any:
    """Return JSON as values of a type.

    Args:
        kind: A model, a scalar, a list or a dict of these, or one of them or None.
    """
    nil = ""
    if typing.get_origin(kind) in {types.UnionType, typing.Union}:
        (kind,) = (option for option in typing.get_args(kind) if option is not types.NoneType)
        nil = "<nil>"
    origin = typing.get_origin(kind) or kind
    if raw is None or raw is _MISSING:
        return _empty(kind, origin, nil)
    if origin is list and isinstance(raw, list):
        (item,) = typing.get_args(kind)
        return [typed(one, item) for one in raw]
    if origin is dict and isinstance(raw, dict):
        _, item = typing.get_args(kind)
        if typing.get_args(item) == (str, Any):
            # A set, whose values are structs without fields.
            return Table({key: Record({}, raw=one) for key, one in raw.items()}, zero=None)
        return Table({key: typed(one, item) for key, one in raw.items()}, zero=_ZEROES.get(item))
    if _is_model(kind) and isinstance(raw, dict):
        return _record(raw, kind)
    return raw


def _empty(kind: Any, origin: Any, nil: str) -> Any:
    if origin in {list, dict}:
        return Nothing("[]" if origin is list else "map[]")
    if nil:
        return Nothing(nil)
    if _is_model(kind):
        return _record({}, kind)
    return _ZEROES[kind] if kind in _ZEROES else Nothing("<nil>")


def _record(raw: dict[str, Any], model: type[msgspec.Struct]) -> Record:
    hints = typing.get_type_hints(model)
    fields = msgspec.structs.fields(model)
    return Record(
        {field.encode_name: typed(raw.get(field.encode_name, _MISSING), hints[field.name]) for field in fields}, raw=raw
    )


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
