"""Environment and label flags, and the files they come from.

Pure but for reading the files that the user names.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from moorage.errors import InvalidParameterError


class FileFlagError(InvalidParameterError):
    """A file of variables or labels can't be read or understood."""


def environment(texts: Iterable[str], files: Iterable[str], *, own: Mapping[str, str]) -> list[str]:
    """Return ``NAME=value`` texts of env files, then of flags.

    A name alone takes the value from the client's own environment, or is left out.

    Raises:
        FileFlagError: A file is unreadable or malformed.
    """
    lines = [line for file in files for line in _lines(file)]
    values = [_with_value(text, own) for text in (*lines, *texts)]
    return [value for value in values if value is not None]


def _with_value(text: str, own: Mapping[str, str]) -> str | None:
    name, separator, _ = text.partition("=")
    if separator:
        return text
    return f"{name}={own[name]}" if name in own else None


def labels(texts: Iterable[str], files: Iterable[str]) -> dict[str, str]:
    """Return labels of files, then of flags; a name alone has an empty value.

    Raises:
        FileFlagError: A file is unreadable or malformed.
    """
    lines = [line for file in files for line in _lines(file)]
    return {name: value for name, _, value in (text.partition("=") for text in (*lines, *texts))}


def _lines(file: str) -> list[str]:
    try:
        content = Path(file).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise FileFlagError(f"open {file}: no such file or directory") from None
    except OSError as error:
        raise FileFlagError(f"open {file}: {(error.strerror or '').lower()}") from None
    except UnicodeDecodeError:
        raise FileFlagError(f"invalid utf8 bytes at line 1 of {file}") from None
    lines = [line.lstrip() for line in content.splitlines()]
    wanted = [line for line in lines if line and not line.startswith("#")]
    for line in wanted:
        name = line.partition("=")[0]
        if not name:
            raise FileFlagError(f"invalid environment variable: {line}: no variable name on line '{line}'")
        if any(character.isspace() for character in name):
            raise FileFlagError(f"variable '{name}' contains whitespaces")
    return wanted


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """Return ``NAME=value`` texts as a dictionary; a name alone has an empty value."""
    return {name: value for name, _, value in (text.partition("=") for text in texts)}
