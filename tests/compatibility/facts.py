"""What there is to ask for: Docker's commands and flags, the API's operations, and what is limited here.

The facts are data beside this module and in `tests/support`; nothing here runs anything.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moorage.api.endpoints import ENDPOINTS

_COMMANDS: Final = Path(__file__).parents[1] / "support" / "docker_commands.tsv"
_LIMITS: Final = Path(__file__).parent / "limits.tsv"

WORKS, LIMITED, REFUSED = "✓", "◐", "✗"


@dataclass(frozen=True, slots=True)
class Command:
    """One command of Docker's: its words, other names, and the long names of its flags."""

    words: str
    aliases: tuple[str, ...]
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limit:
    """What does not work as in Docker, and why; `subject` is a command, a command and a flag, or an operation."""

    subject: str
    mark: str
    reason: str


def commands() -> list[Command]:
    """Return Docker's commands of the groups that this project is about."""
    with _COMMANDS.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        Command(
            row["command"] or "docker",
            tuple(filter(None, row["aliases"].split(","))),
            tuple(flag.partition(":")[0].rpartition("/")[2] for flag in row["flags"].split()),
        )
        for row in rows
    ]


def limits() -> dict[str, Limit]:
    """Return what is limited or refused, by subject."""
    with _LIMITS.open(newline="") as file:
        rows = [Limit(row["subject"], row["mark"], row["reason"]) for row in csv.DictReader(file, delimiter="\t")]
    found = {row.subject: row for row in rows}
    assert len(found) == len(rows), "a subject is limited twice"
    assert all(row.mark in {LIMITED, REFUSED} and row.reason for row in rows)
    return found


def subjects() -> list[str]:
    """Return everything that the page has to speak about, in its order."""
    found: list[str] = []
    for command in commands():
        found.append(command.words)
        found += [f"{command.words} {flag}" for flag in command.flags]
    return [*(endpoint.operation for endpoint in ENDPOINTS), *found]
