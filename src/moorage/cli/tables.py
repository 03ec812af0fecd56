"""Columns of text, as Docker's listings print them.

Pure.
"""

from collections.abc import Iterable, Sequence
from typing import Final

_PADDING: Final = 3
_NARROWEST: Final = 10


def table(rows: Iterable[Sequence[str]], *, narrowest: int = _NARROWEST) -> str:
    """Return rows in columns at least so wide; the first row is the heading."""
    lines = [list(row) for row in rows]
    if not lines:
        return ""
    widths = [max(narrowest, *(len(line[column]) + _PADDING for line in lines)) for column in range(len(lines[0]) - 1)]
    return "".join(
        "".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)) + line[-1] + "\n"
        for line in lines
    )


def tabbed(lines: Iterable[str], *, narrowest: int = _NARROWEST) -> str:
    """Return lines whose cells are separated by tabs, in columns."""
    return table([line.split("\t") for line in lines], narrowest=narrowest)


def human_size(count: float, *, digits: int = 4) -> str:
    """Return bytes in powers of 1000 with so many significant digits: ``1.24MB``."""
    return _scaled(count, 1000, ("B", "kB", "MB", "GB", "TB", "PB", "EB"), digits)


def binary_size(count: float) -> str:
    """Return bytes in powers of 1024 with four significant digits: ``1.24MiB``."""
    return _scaled(count, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"), 4)


def _scaled(count: float, base: int, units: Sequence[str], digits: int) -> str:
    unit = 0
    while count >= base and unit < len(units) - 1:
        count /= base
        unit += 1
    return f"{count:.{digits}g}{units[unit]}"


def human_duration(seconds: float) -> str:
    """Return a span of time as Docker rounds it: ``About a minute``, ``3 hours``."""
    whole = int(seconds)
    for limit, unit, single in (
        (60, 1, ""),
        (3600, 60, "About a minute"),
        (48 * 3600, 3600, "About an hour"),
    ):
        if whole < limit:
            return _span(whole, unit, single)
    hours = whole // 3600
    for limit, size, name in ((24 * 14, 24, "days"), (24 * 60, 24 * 7, "weeks"), (24 * 730, 24 * 30, "months")):
        if hours < limit:
            return f"{hours // size} {name}"
    return f"{hours // (24 * 365)} years"


def _span(seconds: int, unit: int, single: str) -> str:
    if unit == 1:
        return "Less than a second" if seconds < 1 else "1 second" if seconds == 1 else f"{seconds} seconds"
    # Docker rounds hours, and cuts minutes.
    count = int(seconds / unit + 0.5) if unit == 3600 else seconds // unit
    return single if count == 1 else f"{count} {'minutes' if unit == 60 else 'hours'}"


def shortened(text: str, width: int) -> str:
    """Return `text` cut to `width` characters, the last of them an ellipsis."""
    return text if len(text) <= width else text[: width - 1] + "…"


def short_id(identity: str) -> str:
    """Return the twelve digits by which people know an ID."""
    return identity.removeprefix("sha256:")[:12]
