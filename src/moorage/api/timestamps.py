"""Times on the wire: Unix seconds, RFC 3339 in all the lengths Docker takes, Go durations.

Instants are nanoseconds since the epoch, as int: Docker keeps nanoseconds, which neither
float nor datetime can hold.

Spec: Engine API notes on timestamps; Go's time.ParseDuration and time.RFC3339Nano.
"""

import datetime as dt
import re
from typing import Final

from moorage.errors import InvalidParameterError

SECOND: Final = 1_000_000_000
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
_UNIX: Final = re.compile(r"(-?)([0-9]{1,18})(?:\.([0-9]{1,9}))?", re.ASCII)
_DURATION_PART: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?)?(Z|[+-]\d\d:\d\d)?", re.ASCII
)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class MalformedTimeError(InvalidParameterError):
    """The text is in none of the forms a time may have."""

    def __init__(self, text: str) -> None:
        super().__init__(f'failed to parse value as time or duration: "{text}"')


class MalformedDurationError(InvalidParameterError):
    """The text is not a duration like 1h30m."""

    def __init__(self, text: str) -> None:
        super().__init__(f'time: invalid duration "{text}"')


def read_duration(text: str) -> int:
    """Return the nanoseconds of a Go duration: "300ms", "-1.5h", "2h45m".

    Raises:
        MalformedDurationError: It is not one.
    """
    sign, rest = 1, text
    if rest[:1] in {"+", "-"}:
        sign, rest = (-1 if rest[0] == "-" else 1), rest[1:]
    if rest == "0":
        return 0
    total, position = 0, 0
    while match := _DURATION_PART.match(rest, position):
        whole, fraction, unit = match[1], match[2] or "", _UNITS[match[3]]
        if not whole and not fraction:
            break
        total += int(whole or "0") * unit
        total += int(fraction or "0") * unit // 10 ** len(fraction)
        position = match.end()
    if position == 0 or position != len(rest):
        raise MalformedDurationError(text)
    return sign * total


def _read_unix(text: str) -> int | None:
    if not (match := _UNIX.fullmatch(text)):
        return None
    nanoseconds = int(match[2]) * SECOND + int((match[3] or "").ljust(9, "0"))
    return -nanoseconds if match[1] else nanoseconds


def _read_rfc3339(text: str) -> int | None:
    if not (match := _RFC3339.fullmatch(text)):
        return None
    year, month, day, hour, minute, second = (int(match[group] or "0") for group in range(1, 7))
    try:
        instant = dt.datetime(year, month, day, hour, minute, second, tzinfo=_zone(match[8]))
        delta = instant - _EPOCH
    except (ValueError, OverflowError):
        return None
    return (delta.days * 86400 + delta.seconds) * SECOND + int((match[7] or "").ljust(9, "0"))


def _zone(text: str | None) -> dt.tzinfo:
    if text is None or text == "Z":
        # Docker's daemon reads a time without a zone in its local zone, which is UTC on servers.
        return dt.UTC
    hours, minutes = int(text[1:3]), int(text[4:6])
    offset = dt.timedelta(hours=hours, minutes=minutes)
    return dt.timezone(-offset if text[0] == "-" else offset)


def read_time(text: str, *, now: int) -> int:
    """Return the instant a client means, in nanoseconds since the epoch.

    Args:
        now: What durations are counted back from.

    Raises:
        MalformedTimeError: None of the forms fits.
    """
    for read in (_read_unix, _read_rfc3339):
        if (instant := read(text)) is not None:
            return instant
    try:
        return now - read_duration(text)
    except MalformedDurationError:
        raise MalformedTimeError(text) from None


def format_time(nanoseconds: int) -> str:
    """Print an instant as Go's RFC3339Nano in UTC: trailing zeros of the fraction are cut."""
    seconds, fraction = divmod(nanoseconds, SECOND)
    text = (_EPOCH + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    if fraction:
        text += f".{fraction:09d}".rstrip("0")
    return text + "Z"


def format_duration(nanoseconds: int) -> str:
    """Print a duration as Go does: "1h30m0s", "1.5s", "300ms"."""
    if nanoseconds < 0:
        return "-" + format_duration(-nanoseconds)
    if nanoseconds == 0:
        return "0s"
    for unit in ("ns", "µs", "ms"):
        if nanoseconds < _UNITS[unit] * 1000:
            return _decimal(nanoseconds, _UNITS[unit]) + unit
    minutes, rest = divmod(nanoseconds, 60 * SECOND)
    hours, minutes = divmod(minutes, 60)
    text = _decimal(rest, SECOND) + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    digits = f"{fraction:0{len(str(unit)) - 1}d}".rstrip("0") if unit > 1 else ""
    return f"{whole}.{digits}" if digits else str(whole)
