"""Where a copy goes: Docker's rules for ``cp``, which are those of ``cp -r`` with a few of its own.

Pure.

Spec: docker container cp, "Description".
"""

import posixpath
from dataclasses import dataclass

from moorage.errors import InvalidParameterError


class CopyRefusedError(InvalidParameterError):
    """The source does not fit the destination, or one of them is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One end of a copy.

    Attributes:
        path: As the user wrote it, but absolute: a trailing ``/`` or ``/.`` means something.
        exists: False is legal for a destination only.
        rename: The name that the user asked for, where links were followed to another one.
    """

    path: str
    exists: bool = True
    directory: bool = False
    rename: str = ""

    @property
    def base(self) -> str:
        """The last name; ``.`` stands for the content of a directory."""
        return split(self.path)[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to extract where.

    Attributes:
        directory: Where the archive is extracted.
        name: What the archive's topmost entry is called; ``.`` is `directory` itself.
    """

    directory: str
    name: str


def split_argument(text: str) -> tuple[str, str]:
    """Split ``CONTAINER:PATH``; the container is empty for a path of this machine."""
    container, separator, path = text.partition(":")
    if not separator or text.startswith(("/", ".")):
        return "", text
    return container, path


def split(path: str) -> tuple[str, str]:
    """Return the directory and the last name of a path; the last name of ``a/.`` is ``.``."""
    clean = posixpath.normpath(path or ".").replace("//", "/")
    if ends_in_dot(path):
        return clean, "."
    return posixpath.split(clean) if clean != "/" else ("/", "/")


def ends_in_dot(path: str) -> bool:
    """Whether the path means a directory's content."""
    return posixpath.basename(path) == "."


def means_directory(path: str) -> bool:
    """Whether the path can only be a directory's."""
    return path.endswith("/") or ends_in_dot(path)


def absolute(path: str, *, directory: str) -> str:
    """Return a local path made absolute; a trailing ``/`` or ``/.`` stays."""
    clean = posixpath.normpath(posixpath.join(directory, path)).replace("//", "/")
    if clean == "/" or clean.endswith("/."):
        return clean
    if ends_in_dot(path):
        return f"{clean}/."
    return f"{clean}/" if path.endswith("/") else clean


def linked(path: str, target: str) -> str:
    """Return where a symbolic link at `path` leads."""
    return posixpath.normpath(posixpath.join(split(path)[0], target)).replace("//", "/")


def plan(source: Place, destination: Place) -> Plan:
    """Return what to extract where.

    Raises:
        CopyRefusedError: A directory would replace a file, or a directory is missing.
    """
    if destination.exists and destination.directory:
        return Plan(directory=destination.path, name=source.rename or source.base)
    if destination.exists and source.directory:
        raise CopyRefusedError("cannot copy directory")
    if not source.directory and means_directory(destination.path):
        raise CopyRefusedError("no such directory" if not destination.exists else "not a directory")
    directory, name = split(destination.path if not ends_in_dot(destination.path) else destination.path[:-2])
    return Plan(directory=directory, name=name)


def renamed(name: str, *, top: str, new: str) -> str:
    """Return an archive entry's name after its topmost entry was called `new`."""
    clean = posixpath.normpath(name)
    old = posixpath.normpath(top)
    if old in {"/", "."}:
        rest = clean.lstrip("/")
        rest = "" if rest == "." else rest
    elif clean == old:
        rest = ""
    elif clean.startswith(f"{old}/"):
        rest = clean[len(old) + 1 :]
    else:
        return clean
    return posixpath.normpath(posixpath.join(new, rest))
