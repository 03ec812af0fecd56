"""When a request is worth repeating, and how long to wait before.

Spec: RFC 9110, "Retry-After".
"""

import asyncio
import email.utils
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from moorage.errors import MoorageError
from moorage.registry.errors import RegistryAnswerError, RegistryError, RegistryUnreachableError

T = TypeVar("T")

_TRANSIENT_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_DELAY: Final = 30.0
# A registry that wants to be left alone for longer is told about instead of waited for.
_LONGEST_WISH: Final = 120.0


def is_transient(error: MoorageError) -> bool:
    """Tell whether the same request may succeed a little later."""
    if isinstance(error, RegistryUnreachableError):
        return True
    if not isinstance(error, RegistryError | RegistryAnswerError) or error.status not in _TRANSIENT_STATUSES:
        return False
    return (error.retry_after or 0.0) <= _LONGEST_WISH


def delay_after(error: MoorageError, *, failures: int, first_delay: float) -> float:
    """Return the seconds to wait after so many failures: what the registry wishes, or twice the time before."""
    wish = getattr(error, "retry_after", None)
    return wish if wish is not None else min(first_delay * 2.0 ** (failures - 1), _LONGEST_DELAY)


def parse_retry_after(header: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which may be a number or a date; None when it says nothing."""
    text = (header or "").strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    parsed = email.utils.parsedate_tz(text)
    if parsed is None:
        return None
    try:
        return max(0.0, email.utils.mktime_tz(parsed) - time.time())
    except (ValueError, OverflowError):
        return None


async def retried(action: Callable[[], Awaitable[T]], *, attempts: int, first_delay: float) -> T:
    """Do something until it succeeds, fails for good, or was tried often enough."""
    failures = 0
    while True:
        try:
            return await action()
        except MoorageError as error:
            failures += 1
            # Nobody there is told at once: a name or a port that is wrong does not get right by waiting.
            if failures >= attempts or isinstance(error, RegistryUnreachableError) or not is_transient(error):
                raise
            await asyncio.sleep(delay_after(error, failures=failures, first_delay=first_delay))
