"""`list`: all containers below the root."""

from __future__ import annotations

import json
import sys

from moorage.runtime import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any, Final

    from moorage.runtime.invocation import Invocation

_COLUMNS: Final = ("id", "pid", "status", "bundle", "created", "owner")
_GAP: Final = 4


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("-f", "--format", default="table", choices=("table", "json"), help="select one of: table, json")
    parser.add_argument("-q", "--quiet", action="store_true", help="display only container IDs")


def run(options: argparse.Namespace, invocation: Invocation) -> int:
    """Print the containers."""
    found = [record.state() for record in containers.load_all(invocation.root)]
    if options.quiet:
        text = "".join(f"{state['id']}\n" for state in found)
    elif options.format == "json":
        text = f"{json.dumps(found) if found else 'null'}\n"
    else:
        text = table(found)
    sys.stdout.write(text)
    return 0


def table(states: Sequence[dict[str, Any]]) -> str:
    """Return states in columns that are as wide as their widest value."""
    rows = [[name.upper() for name in _COLUMNS], *([str(state[name]) for name in _COLUMNS] for state in states)]
    widths = [max(len(row[column]) for row in rows) + _GAP for column in range(len(_COLUMNS))]
    lines = ("".join(value.ljust(width) for value, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in lines)
