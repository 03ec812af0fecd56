"""The functions that a ``--format`` template may call.

Pure.

Spec: Go, package text/template, "Functions"; docker, "Format command and log output".
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

from moorage.templates.tokens import TemplateError
from moorage.templates.values import Nothing, Record, Table, plain


def truth(value: Any) -> bool:
    """Tell whether Go takes a value for true: it is not the zero of its type."""
    return bool(value)


def printed(value: Any) -> str:
    """Return a value as Go prints it with %v."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return _printed_mapping(value)
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(printed, value)) + "]"
    return str(value)


def _printed_mapping(value: Mapping[str, Any]) -> str:
    if isinstance(value, Nothing):
        return value.text
    if isinstance(value, Record):
        return "{" + " ".join(map(printed, value.values())) + "}"
    return "map[" + " ".join(f"{key}:{printed(value[key])}" for key in sorted(value)) + "]"


def to_json(value: Any) -> str:
    """Return a value as compact JSON; what the engine wrote keeps its order."""
    return msgspec.json.encode(plain(value)).decode()


def index(container: Any, *keys: Any) -> Any:
    """Return the element behind keys or positions; a missing key of a map is no value."""
    for key in keys:
        if isinstance(container, Mapping):
            container = container.get(key, container.zero if isinstance(container, Table) else None)
        elif isinstance(container, Sequence) and isinstance(key, int):
            if not -1 < key < len(container):
                raise TemplateError(f"error calling index: index out of range: {key}")
            container = container[key]
        else:
            raise TemplateError(f"error calling index: can't index item of type {type(container).__name__}")
    return container


def length(value: Any) -> int:
    """Return the number of elements or bytes."""
    if value is None or isinstance(value, bool | int | float):
        raise TemplateError("error calling len: len of type without length")
    return len(value.encode() if isinstance(value, str) else value)


_VERB: Final = re.compile(r"%([-+# 0]*\d*(?:\.\d+)?)([%a-zA-Z])")


def formatted(pattern: str, *values: Any) -> str:
    """Return Go's Sprintf for the verbs that formats use."""
    remaining = list(values)

    def verb(match: re.Match[str]) -> str:
        flags, kind = match[1], match[2]
        if kind == "%":
            return "%"
        if not remaining:
            return f"%!{kind}(MISSING)"
        value = remaining.pop(0)
        if kind in "vst":
            return f"%{flags}s" % printed(value)
        if kind == "q":
            return f"%{flags}s" % to_json(printed(value))
        return str(f"%{flags}{kind}" % value)

    return _VERB.sub(verb, pattern)


def _compared(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        try:
            return test(left, right)
        except TypeError:
            raise TemplateError("incompatible types for comparison") from None

    return compare


def _equal(left: Any, *rights: Any) -> bool:
    return any(left == right for right in rights)


def _and(first: Any, *others: Any) -> Any:
    values = (first, *others)
    return next((value for value in values if not truth(value)), values[-1])


def _or(first: Any, *others: Any) -> Any:
    values = (first, *others)
    return next((value for value in values if truth(value)), values[-1])


def _title(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cut(text: Any, width: int) -> str:
    return printed(text)[:width]


def _sliced(value: Any, start: int = 0, stop: int | None = None) -> Any:
    return value[start:stop]


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "and": _and,
    "or": _or,
    "not": lambda value: not truth(value),
    "eq": _equal,
    "ne": lambda left, right: left != right,
    "lt": _compared(lambda left, right: left < right),
    "le": _compared(lambda left, right: left <= right),
    "gt": _compared(lambda left, right: left > right),
    "ge": _compared(lambda left, right: left >= right),
    "index": index,
    "len": length,
    "slice": _sliced,
    "json": to_json,
    "join": lambda values, separator: separator.join(printed(value) for value in values or ()),
    "split": lambda text, separator: text.split(separator),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": _title,
    "pad": lambda text, before, after: " " * before + text + " " * after,
    "truncate": _cut,
    "print": lambda *values: "".join(map(printed, values)),
    "println": lambda *values: " ".join(map(printed, values)) + "\n",
    "printf": formatted,
    "urlquery": lambda *values: quote("".join(map(printed, values))),
    "table": lambda value: value,
}
