"""Spans of time in words: "5 minutes", "About an hour".

Pure. The rounding is Docker's, because scripts read it; the engine says it in states, the
command line in listings.
"""

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def human_duration(seconds: int) -> str:
    """Return a duration in whole seconds the way Docker tells it to people."""
    if seconds < 1:
        return "Less than a second"
    if seconds < _MINUTE:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    minutes = seconds // _MINUTE
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    # Hours are rounded, everything above is cut.
    hours = int(seconds / _HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    return _long_duration(hours, seconds)


def _long_duration(hours: int, seconds: int) -> str:
    days = hours // 24
    if hours < 48:
        return f"{hours} hours"
    if days < 14:
        return f"{days} days"
    if days < 60:
        return f"{days // 7} weeks"
    if days < 730:
        return f"{days // 30} months"
    return f"{seconds // _DAY // 365} years"
