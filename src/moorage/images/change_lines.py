"""The lines of `docker commit --change` and `docker import --change`, split as a Dockerfile's are.

Pure.

Spec: Dockerfile reference, "Format".
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from moorage.errors import InvalidParameterError

#: The last thing on a line, unless it is itself escaped.
_CONTINUED: Final = re.compile(r"(^|[^\\])\\[ \t]*$")
_FLAG: Final = re.compile(r"--\S*")


class InvalidChangeError(InvalidParameterError):
    """An instruction is unknown, or its arguments are wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeLine:
    """One instruction.

    Attributes:
        keyword: As written.
        flags: The words before the arguments that begin with two dashes.
        rest: The arguments, without blanks around them.
    """

    keyword: str
    flags: tuple[str, ...]
    rest: str


def change_lines(changes: Iterable[str]) -> list[ChangeLine]:
    """Return the instructions of several texts: comments left out, continued lines joined.

    Raises:
        InvalidChangeError: There are none at all.
    """
    lines: list[str] = []
    pending = ""
    for line in "\n".join(changes).splitlines():
        if line.lstrip().startswith("#") or (pending and not line.strip()):
            continue
        joined = pending + line
        if _CONTINUED.search(line):
            pending = _CONTINUED.sub(r"\1", joined)
            continue
        pending = ""
        lines.append(joined)
    found = [_split(line) for line in [*lines, pending] if line.strip()]
    if not found:
        raise InvalidChangeError("file with no instructions")
    return found


def _split(line: str) -> ChangeLine:
    keyword, *arguments = line.split(maxsplit=1)
    rest = arguments[0].strip() if arguments else ""
    flags: list[str] = []
    while match := _FLAG.match(rest):
        rest = rest[match.end() :].lstrip()
        if match[0] == "--":
            break
        flags.append(match[0])
    return ChangeLine(keyword=keyword, flags=tuple(flags), rest=rest)
