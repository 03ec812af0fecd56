"""The generated part of docs/compatibility.md: marks for everything, and nothing that was not seen."""

from collections.abc import Iterable, Mapping
from typing import Final

from moorage.api.endpoints import ENDPOINTS
from tests.compatibility.facts import LIMITED, REFUSED, WORKS, Command, Limit, commands, limits

BEGINNING: Final = "<!-- From here on written by scripts/write_compatibility.py; do not edit below. -->"
_INTRODUCTION: Final = f"""{BEGINNING}

## Operation by operation, flag by flag

Each mark was seen: `scripts/write_compatibility.py` starts a daemon of its own, asks it for every
operation by HTTP and for every flag with the real docker command, and looks at what came of it.
{WORKS} works; {LIMITED} is taken, with the limit that is stated; {REFUSED} is refused, by its name.
What a kernel lacks (a limit without its control group) is answered as Docker answers it, and counts as working.
"""


def mark_of(subject: str, found: Mapping[str, Limit]) -> str:
    """Return the mark of a subject; a limited command's flags are as limited as the command."""
    return found[subject].mark if subject in found else WORKS


def page() -> str:
    """Return the generated part."""
    found = limits()
    return "\n".join([_INTRODUCTION, *_operations(found), "", *_commands(found)]) + "\n"


def _operations(found: Mapping[str, Limit]) -> Iterable[str]:
    yield "### Operations of the Engine API\n"
    yield "| | operation | limits |"
    yield "|---|---|---|"
    for endpoint in ENDPOINTS:
        limit = found.get(endpoint.operation)
        reason = limit.reason if limit else ""
        yield f"| {mark_of(endpoint.operation, found)} | `{endpoint.method} {endpoint.path}` | {reason} |"


def _commands(found: Mapping[str, Limit]) -> Iterable[str]:
    yield "### Commands of docker\n"
    yield "| | command | flags |"
    yield "|---|---|---|"
    for command in commands():
        yield f"| {mark_of(command.words, found)} | {_title(command)} | {_flags(command, found)} |"


def _title(command: Command) -> str:
    name = "docker" if command.words == "docker" else f"docker {command.words}"
    others = ", ".join(f"`docker {alias}`" for alias in command.aliases)
    return f"`{name}`" + (f" ({others})" if others else "")


def _flags(command: Command, found: Mapping[str, Limit]) -> str:
    own = found.get(command.words)
    if own is not None:
        return own.reason + (": " + ", ".join(f"`{flag}`" for flag in command.flags) if command.flags else "")
    by_mark: dict[str, list[str]] = {WORKS: [], LIMITED: [], REFUSED: []}
    for flag in command.flags:
        limit = found.get(f"{command.words} {flag}")
        by_mark[limit.mark if limit else WORKS].append(f"`{flag}`" + (f" ({limit.reason})" if limit else ""))
    return "; ".join(f"{mark} {', '.join(flags)}" for mark, flags in by_mark.items() if flags)
