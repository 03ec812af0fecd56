"""The policy of removing images, as daemon.json has it."""

from collections.abc import Mapping
from typing import Any, Final

from moorage.api.timestamps import MalformedDurationError, read_duration
from moorage.images.retention import RetentionPolicy

_KEYS: Final = ("high-watermark", "low-watermark", "min-age", "keep-labels", "interval")


def read_retention(value: Any) -> RetentionPolicy:
    """Return `{"high-watermark": "85%", "low-watermark": "75%", ...}`; what is left out has its default.

    Raises:
        TypeError: It is no object, or a value is of the wrong type.
        ValueError: A key is unknown, or a value makes no sense.
    """
    if not isinstance(value, Mapping):
        raise TypeError("an object is needed")
    if unknown := sorted(value.keys() - set(_KEYS)):
        raise ValueError(f"unknown key {unknown[0]}")
    usual = RetentionPolicy()
    labels = value.get("keep-labels", [])
    if not isinstance(labels, list) or not all(isinstance(label, str) and label for label in labels):
        raise TypeError("keep-labels: a list of strings is needed")
    policy = RetentionPolicy(
        high=_percent(value, "high-watermark", usual.high),
        low=_percent(value, "low-watermark", usual.low),
        min_age_ns=_duration(value, "min-age", usual.min_age_ns),
        keep_labels=tuple(labels),
        interval_ns=_duration(value, "interval", usual.interval_ns),
    )
    if policy.low > policy.high:
        raise ValueError(f"low-watermark {policy.low}% is above high-watermark {policy.high}%")
    if not policy.interval_ns:
        raise ValueError("interval: it must be longer than nothing")
    return policy


def _percent(value: Mapping[str, Any], key: str, usual: int) -> int:
    text = str(value.get(key, f"{usual}%"))
    number = text.removesuffix("%")
    if not (number.isascii() and number.isdigit()) or not text.endswith("%") or int(number) > 100:
        raise ValueError(f'{key}: {text!r} is not a share such as "85%"')
    return int(number)


def _duration(value: Mapping[str, Any], key: str, usual: int) -> int:
    if key not in value:
        return usual
    try:
        duration = read_duration(str(value[key]))
    except MalformedDurationError as error:
        raise ValueError(f"{key}: {error}") from None
    if duration < 0:
        raise ValueError(f"{key}: {value[key]} is negative")
    return duration
