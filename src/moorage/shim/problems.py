"""Errors as they travel to the daemon."""

from __future__ import annotations

from moorage.api.shim import ErrorKind
from moorage.cgroups.errors import CgroupError
from moorage.runtime.errors import InvalidSpecError, StartError, StoppedError, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moorage.api.shim import Problem


class RequestError(Exception):
    """A request that cannot be carried out."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def problem(error: Exception) -> Problem:
    """Return what the daemon is told about a failure."""
    match error:
        case RequestError():
            return {"kind": error.kind, "message": str(error)}
        case ProcessLookupError() | StoppedError():
            return {"kind": ErrorKind.NOT_RUNNING, "message": "the process has ended"}
        case StartError():
            kind = ErrorKind.INVALID if isinstance(error, InvalidSpecError) else ErrorKind.START
            return {"kind": kind, "message": error.message, "exit_code": error.exit_code}
        case OSError():
            return {"kind": ErrorKind.SYSTEM, "message": describe(error)}
        case CgroupError():
            return {"kind": ErrorKind.SYSTEM, "message": str(error)}
        case _:
            return {"kind": ErrorKind.SYSTEM, "message": f"{type(error).__name__}: {error}"}
