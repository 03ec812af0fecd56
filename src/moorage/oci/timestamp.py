"""RFC 3339 times with nanoseconds, as image configs carry them.

`datetime` stops at microseconds, and a rounded time would change an image's printed age and its order.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_FORM: Final = re.compile(
    r"(?P<seconds>\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9})\d*)?(?P<zone>[Zz]|[+-]\d\d:\d\d)"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ZERO: Final = "0001-01-01T00:00:00Z"
"""How Go prints a time that was never set."""


def parse_timestamp(text: str | None) -> int | None:
    """Return nanoseconds since 1970, or None when `text` is absent, unreadable or Go's zero time."""
    match = _FORM.fullmatch(text or "")
    if match is None:
        return None
    zone = match["zone"].upper().replace("Z", "+00:00")
    try:
        moment = datetime.fromisoformat(match["seconds"].upper() + zone)
        since_epoch = moment - _EPOCH
    except (ValueError, OverflowError):
        return None
    if moment.year <= 1:
        return None
    return since_epoch // timedelta(seconds=1) * 1_000_000_000 + int((match["fraction"] or "").ljust(9, "0"))


def format_timestamp(nanoseconds: int) -> str:
    """Print nanoseconds since 1970 the way Go's RFC3339Nano does: in UTC, without trailing zeros."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}{fraction}Z"
