"""Values that a template sees as Go's types, where JSON's would print otherwise.

Pure.

Spec: Go, package fmt, "Printing"; package text/template, "Actions".
"""

from collections.abc import Mapping
from typing import Any


class Record(dict[str, Any]):
    """A struct: every field is there, in its order.

    Attributes:
        raw: The object as JSON had it, for the function `json`.
    """

    def __init__(self, fields: Mapping[str, Any], *, raw: Any) -> None:
        super().__init__(fields)
        self.raw = raw


class Table(dict[str, Any]):
    """A map: a key that is missing is no error.

    Attributes:
        zero: What `index` gives for a missing key.
    """

    def __init__(self, items: Mapping[str, Any], *, zero: Any) -> None:
        super().__init__(items)
        self.zero = zero


class Nothing(dict[str, Any]):
    """A nil pointer, map or slice: empty, false, and null in JSON.

    Attributes:
        text: What Go prints for it.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


def plain(value: Any) -> Any:
    """Return a value as JSON had it."""
    if isinstance(value, Record):
        return value.raw
    if isinstance(value, Nothing):
        return None
    if isinstance(value, dict):
        # What is a function is a method, and no field.
        return {key: plain(item) for key, item in value.items() if not callable(item)}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value
