"""What an engine answers when it refuses, as errors by kind."""

from collections.abc import Mapping
from typing import Final

import msgspec

from moorage.errors import (
    ConflictError,
    ForbiddenError,
    InvalidParameterError,
    MoorageError,
    NotFoundError,
    NotSupportedError,
    SystemFailureError,
    UnauthorizedError,
    UnavailableError,
)

KIND_BY_STATUS: Final[Mapping[int, type[MoorageError]]] = {
    400: InvalidParameterError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    501: NotSupportedError,
    503: UnavailableError,
}


class RefusedError(MoorageError):
    """Marks an error as the engine's own answer; its kind is among its other bases."""


_REFUSALS: Final[Mapping[type[MoorageError], type[MoorageError]]] = {
    kind: type(f"Refused{kind.__name__}", (kind, RefusedError), {"__doc__": kind.__doc__})
    for kind in (*KIND_BY_STATUS.values(), SystemFailureError)
}


class EngineUnreachableError(UnavailableError):
    """Nothing answers where the engine should be."""

    def __init__(self, place: str) -> None:
        super().__init__(f"Cannot connect to the Moorage daemon at {place}. Is the moord daemon running?")


class EncryptionError(UnavailableError):
    """The engine, or something else, answers, and no encrypted connection comes of it."""

    def __init__(self, place: str, reason: OSError) -> None:
        super().__init__(f"error during connect: TLS with {place}: {reason.strerror or reason}")


class ContainerFailedError(MoorageError):
    """A container that was run to its end ended badly.

    Attributes:
        exit_code: The status of its init process.
        output: What it wrote, both streams as they came.
    """

    def __init__(self, command: str, *, exit_code: int, output: bytes) -> None:
        super().__init__(f"{command} exited with status {exit_code}")
        self.exit_code = exit_code
        self.output = output


class _Message(msgspec.Struct):
    message: str = ""


def error_for(status: int, body: bytes) -> MoorageError:
    """Return the error that an answer stands for; its text is the engine's own."""
    try:
        text = msgspec.json.decode(body, type=_Message).message
    except msgspec.DecodeError:
        text = body.decode(errors="replace").strip()
    kind = _REFUSALS[KIND_BY_STATUS.get(status, SystemFailureError)]
    return kind(text or f"the engine answered with status {status}")
