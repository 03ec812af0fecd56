"""The unit of a plan: one value for one cgroup file, and how a list of them is carried out.

Planning is pure (`moorage.cgroups.resources_v1`, `resources_v2`); this module does the
writing. The kernel checks related values against each other as they arrive (a memory limit
against the limit with swap, a quota against its burst), and which order passes depends on
the present values: what is refused with EINVAL is therefore tried again after the others.
"""

from __future__ import annotations

import errno

from moorage.cgroups import files
from moorage.cgroups.errors import MissingControllerError, MissingFileError, WriteRefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Write:
    """One value for one file.

    Attributes:
        controller: The controller that owns the file.
        instead: (file, value) to use where the kernel does not have `file`.
        optional: The value says what holds anyway where the file or controller is
            missing ("no limit"), so that is no error.
        ordered: Not to be tried again later: its place in the list means something.
    """

    __slots__ = ("controller", "file", "instead", "optional", "ordered", "value")

    def __init__(
        self,
        controller: str,
        file: str,
        value: str,
        *,
        instead: tuple[str, str] | None = None,
        optional: bool = False,
        ordered: bool = False,
    ) -> None:
        self.controller = controller
        self.file = file
        self.value = value
        self.instead = instead
        self.optional = optional
        self.ordered = ordered

    def text(self) -> str:
        """Return the write as a line for people."""
        return f"{self.file} = {self.value}"


def carry_out(writes: Sequence[Write], directories: Mapping[str, str]) -> None:
    """Write all values.

    Args:
        directories: The container's cgroup by controller; one that lacks is an error only
            if a value needs it.

    Raises:
        MissingControllerError: The host does not offer a controller that a value needs.
        MissingFileError: The kernel has no such file.
        WriteRefusedError: The kernel refused a value.
    """
    pending = list(writes)
    while pending:
        refused: list[tuple[Write, OSError]] = []
        for entry in pending:
            error = _attempt(entry, directories)
            if error is not None:
                refused.append((entry, error))
        if len(refused) == len(pending):
            entry, error = refused[0]
            raise _refusal(entry, directories, error) from error
        pending = [entry for entry, _ in refused]


def _attempt(entry: Write, directories: Mapping[str, str]) -> OSError | None:
    """Write one value; return the error if another try may pass."""
    directory = directories.get(entry.controller)
    if directory is None:
        if entry.optional:
            return None
        raise MissingControllerError(entry.controller, entry.file)
    try:
        _write(entry, directory)
    except OSError as error:
        if error.errno == errno.EINVAL and not entry.ordered:
            return error
        raise _refusal(entry, directories, error) from error
    return None


def _write(entry: Write, directory: str) -> None:
    try:
        files.write(directory, entry.file, entry.value)
    except FileNotFoundError:
        if entry.instead is not None:
            try:
                files.write(directory, *entry.instead)
            except FileNotFoundError:
                raise MissingFileError(directory, f"{entry.file} (nor {entry.instead[0]})") from None
        elif not entry.optional:
            raise MissingFileError(directory, entry.file) from None


def _refusal(entry: Write, directories: Mapping[str, str], error: OSError) -> WriteRefusedError:
    return WriteRefusedError(f"{directories[entry.controller]}/{entry.file}", entry.value, error.strerror)
