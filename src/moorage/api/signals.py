"""Signals as clients name them.

Pure.

Spec: Engine API, POST /containers/{id}/kill, "signal"; Dockerfile reference, "STOPSIGNAL".
"""

import re
import signal
from typing import Final

from moorage.errors import InvalidParameterError

_NUMBERS: Final = range(1, signal.NSIG)
_REAL_TIME: Final = signal.SIGRTMAX - signal.SIGRTMIN
_NUMBER: Final = re.compile(r"[+-]?\d+", re.ASCII)
_NAME: Final = re.compile(r"(?:SIG)?([A-Z0-9]+)([+-]\d+)?", re.ASCII)


class InvalidSignalError(InvalidParameterError):
    """No signal is named so."""


def parse_signal(text: str) -> int:
    """Return the number of a signal given as ``15``, ``TERM``, ``SIGTERM`` or ``RTMIN+3``.

    Raises:
        InvalidSignalError: There is no such signal.
    """
    if _NUMBER.fullmatch(text) and int(text) != 0:
        if int(text) not in _NUMBERS:
            raise InvalidSignalError(f"the linux daemon does not support signal {int(text)}")
        return int(text)
    match = _NAME.fullmatch(text.upper())
    number = match and getattr(signal.Signals, f"SIG{match[1]}", None)
    if match is None or number is None:
        raise InvalidSignalError(f"invalid signal: {text}")
    distance = int(match[2] or 0)
    # Real-time signals are counted from either end of theirs, and there are no others to count.
    furthest = {"RTMIN": _REAL_TIME, "RTMAX": -_REAL_TIME}.get(match[1], 0)
    if not min(0, furthest) <= distance <= max(0, furthest):
        raise InvalidSignalError(f"invalid signal: {text}")
    return int(number) + distance
