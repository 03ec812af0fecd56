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


def shortened(text: str, width: int) -> str:
    """Return `text` cut to `width` characters, the last of them an ellipsis."""
    return text if len(text) <= width else text[: width - 1] + "…"


def short_id(identity: str) -> str:
    """Return the twelve digits by which people know an ID."""
    return identity.removeprefix("sha256:")[:12]
