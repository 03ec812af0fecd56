"""The shape shared by every model of the Engine API, and Go's lenient reading of JSON.

Models are frozen and keyword-only. A field with a plain default is left out of answers
while it holds that default (Go's `omitempty`); a field declared with `always()` is written
even then. Absent and null mean the same to a reader: the field's default, as in Go.

Spec: encoding/json of Go, "Unmarshal": keys match without regard to case, null leaves a
field as it was.
"""

import functools
import types
import typing
from collections.abc import Callable, Hashable
from typing import Annotated, Any, Final, TypeVar

import msgspec

from moorage.api.malformed import complaint
from moorage.errors import InvalidParameterError

T = TypeVar("T")

#: A value of which nothing but "it is JSON" is known.
JSON = Any

_STRING_OR_LIST: Final = "string-or-list"
#: A command line that a client may also send as one string.
StringSlice = Annotated[list[str], msgspec.Meta(extra={_STRING_OR_LIST: True})]


class MalformedBodyError(InvalidParameterError):
    """The body is not the JSON that the operation takes."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid JSON: {reason}")


class MoreThanOneDocumentError(InvalidParameterError):
    """The body goes on behind its JSON document."""

    def __init__(self) -> None:
        super().__init__("unexpected content after JSON")


def always(*, default: T, name: str | None = None) -> T:
    """Declare a field that is written even when it holds its default.

    msgspec leaves a field out when its value *is* the default; a factory is never
    compared, so the value is always written.
    """
    # A container must not be shared between records.
    factory = default.copy if isinstance(default, list | dict) else lambda: default
    return typing.cast("T", msgspec.field(default_factory=factory, name=name))


@typing.dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field, always))
class Model(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """A JSON object of the Engine API; keys are the attribute names in PascalCase unless a field says otherwise."""


ModelT = TypeVar("ModelT")

_Fix = Callable[[Any], Any]


class _ObjectFix:
    """Rewrites a decoded object to what msgspec takes for one Struct type."""

    __slots__ = ("by_folded_name", "inner", "names", "nullable")

    def __init__(self, model: type[msgspec.Struct]) -> None:
        self.inner: dict[str, _Fix] = {}
        self.nullable: set[str] = set()
        fields = msgspec.structs.fields(model)
        self.names = frozenset(field.encode_name for field in fields)
        self.by_folded_name = {field.encode_name.lower(): field.encode_name for field in fields}
        for field in fields:
            if _takes_null(field.type):
                self.nullable.add(field.encode_name)
            if fix := _fix_for(field.type):
                self.inner[field.encode_name] = fix

    def __call__(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        # Go's decoder matches keys without regard to case; a miss would lose a field in silence.
        if not value.keys() <= self.names:
            value = {self.by_folded_name.get(key.lower(), key): item for key, item in value.items()}
        if None in value.values():
            value = {key: item for key, item in value.items() if item is not None or key in self.nullable}
        for key, fix in self.inner.items():
            if (item := value.get(key)) is not None:
                value[key] = fix(item)
        return value


class _LazyFix:
    """Delays building a model's fix to its first use, so that models may refer to themselves."""

    __slots__ = ("model",)

    def __init__(self, model: type[msgspec.Struct]) -> None:
        self.model = model

    def __call__(self, value: Any) -> Any:
        return _object_fix(self.model)(value)


@functools.cache
def _object_fix(model: type[msgspec.Struct]) -> _ObjectFix:
    return _ObjectFix(model)


def _takes_null(annotation: Any) -> bool:
    if annotation is Any or annotation is None or annotation is types.NoneType:
        return True
    if typing.get_origin(annotation) is Annotated:
        return _takes_null(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        return any(_takes_null(argument) for argument in typing.get_args(annotation))
    return False


def _fix_for(annotation: Any) -> _Fix | None:
    """Return what must happen to a value before msgspec converts it to `annotation`, if anything."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        metas = [meta for meta in arguments[1:] if isinstance(meta, msgspec.Meta)]
        if any(_STRING_OR_LIST in (meta.extra or {}) for meta in metas):
            return lambda value: [value] if isinstance(value, str) else value
        return _fix_for(arguments[0])
    if origin in {typing.Union, types.UnionType}:
        return next((fix for argument in arguments if (fix := _fix_for(argument))), None)
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return _LazyFix(annotation)
    return _fix_for_items(origin, arguments)


def _fix_for_items(origin: Any, arguments: tuple[Any, ...]) -> _Fix | None:
    if origin is list:
        return functools.partial(_fix_list, _fix_for(arguments[0]), _zero_of(arguments[0]))
    if origin is dict:
        return functools.partial(_fix_map, _fix_for(arguments[1]), _zero_of(arguments[1]))
    return None


def _zero_of(annotation: Any) -> Callable[[], Any]:
    """Return what makes the value that Go gives to a null inside a list or a map."""
    if _takes_null(annotation):
        return lambda: None
    if annotation in {str, int, bool, float}:
        return typing.cast("type", annotation)
    return list if typing.get_origin(annotation) in {list, tuple} else dict


def _fix_list(fix: _Fix | None, zero: Callable[[], Any], value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if None in value:
        value = [zero() if item is None else item for item in value]
    return [fix(item) for item in value] if fix else value


def _fix_map(fix: _Fix | None, zero: Callable[[], Any], value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if None in value.values():
        value = {key: zero() if item is None else item for key, item in value.items()}
    return {key: item if item is None else fix(item) for key, item in value.items()} if fix else value


@functools.cache
def _fix_of(model: Any) -> _Fix | None:
    return _fix_for(model)


def read_json(body: bytes, model: type[ModelT]) -> ModelT:
    """Decode a JSON document as Go would: unknown keys ignored, null and absent alike, any case of keys.

    Raises:
        InvalidParameterError: It is not one JSON document, or a value has a type that the field cannot take.
    """
    try:
        value = msgspec.json.decode(body)
        if value is None and issubclass(model, msgspec.Struct):
            # To Go null leaves an object as it is; older docker commands commit with it.
            value = {}
        return read_value(value, model)
    except msgspec.DecodeError as error:
        raise _malformed(body, str(error)) from None
    except RecursionError:
        raise MalformedBodyError("exceeded max depth") from None


def _malformed(body: bytes, reason: str) -> InvalidParameterError:
    if "trailing characters" in reason:
        return MoreThanOneDocumentError()
    return MalformedBodyError(complaint(body) or reason)


def read_value(value: JSON, model: type[ModelT]) -> ModelT:
    """Convert decoded JSON to a model by the rules of `read_json`; `value` may be changed.

    Raises:
        MalformedBodyError: A value has a type that the field cannot take.
    """
    fix = _fix_of(typing.cast("Hashable", model))
    if fix:
        value = fix(value)
    try:
        return msgspec.convert(value, model)
    except msgspec.ValidationError as error:
        raise MalformedBodyError(str(error)) from None
