"""What can go wrong between a bundle and a running program."""

from __future__ import annotations

from moorage.cgroups.errors import CgroupError


class StartError(Exception):
    """A container, or a program in one, could not be started.

    Attributes:
        message: One line, worded as runc words it: clients match parts of it.
        exit_code: What a shell would say: 126 not executable, 127 not found, else 128.
    """

    def __init__(self, message: str, exit_code: int = 128) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


class InvalidSpecError(StartError):
    """The specification can never be carried out as written."""


class StoppedError(StartError):
    """The container has ended while a process was being added to it."""

    def __init__(self) -> None:
        super().__init__("cannot exec in a stopped container", 126)


class ContainerStateError(Exception):
    """The container's present state forbids the operation, or there is no such container."""


def failure(error: BaseException) -> StartError:
    """Return `error` as a StartError; an OSError is worded with its path and call."""
    if isinstance(error, StartError):
        return error
    if isinstance(error, OSError):
        return StartError(describe(error))
    if isinstance(error, CgroupError):
        return StartError(str(error))
    return StartError(f"{type(error).__name__}: {error}")


def describe(error: OSError) -> str:
    """Word an OSError as Go words it: `call path: reason`, the reason in lower case."""
    reason = (error.strerror or str(error)).lower()
    notes = getattr(error, "__notes__", ())
    call = next((note[3:-2] for note in notes if note.startswith("in ") and note.endswith("()")), "")
    where = error.filename if isinstance(error.filename, str) else ""
    subject = f"{call} {where}".strip()
    extra = [note for note in notes if not note.startswith("in ")]
    worded = f"{subject}: {reason}" if subject else reason
    return f"{worded} ({'; '.join(extra)})" if extra else worded
