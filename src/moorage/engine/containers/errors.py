"""Errors about one container, worded as Docker words them.

Clients match these wordings, so they are part of the API.
"""

from typing import Final

from moorage.errors import ConflictError, InvalidParameterError, NotFoundError, NotModifiedError, SystemFailureError

_DENIED: Final = "permission denied"
_MOUNT_HINT: Final = (
    "Are you trying to mount a directory onto a file (or vice-versa)? "
    "Check if the specified host path exists and is the expected type"
)
_NOT_EXECUTABLE: Final = 126
_NOT_FOUND: Final = 127
_UNKNOWN: Final = 128


class ContainerNotFoundError(NotFoundError):
    """No container has this name or ID."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"No such container: {reference}")


class AmbiguousPrefixError(InvalidParameterError):
    """Several container IDs begin with this text."""

    def __init__(self, prefix: str) -> None:
        super().__init__(f"multiple IDs found with provided prefix: {prefix}")


class DamagedContainerError(SystemFailureError):
    """The container's row in the database cannot be read, so that it can only be removed.

    Attributes:
        container_id: 64 lower-case hex digits.
    """

    def __init__(self, name: str, container_id: str) -> None:
        super().__init__(f"container {name} ({container_id}) cannot be read from the database: remove it by force")
        self.container_id = container_id


class InvalidContainerNameError(InvalidParameterError):
    """The text is no name for a container."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")


class AlreadyRunningError(NotModifiedError):
    """A start was asked of a container that runs."""

    def __init__(self) -> None:
        super().__init__("container is already running")


class AlreadyStoppedError(NotModifiedError):
    """A stop was asked of a container that does not run."""

    def __init__(self) -> None:
        super().__init__("container is already stopped")


class ContainerStateError(ConflictError):
    """The container's state forbids the request; the message is the whole sentence."""


class NotRunningError(ConflictError):
    """The request needs a running container."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f"container {container_id} is not running")


class RestartingError(ConflictError):
    """The container waits for its next restart, so there is no process to talk to."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f"Container {container_id} is restarting, wait until the container is running")


class PausedError(ConflictError):
    """The request needs a container that is not paused."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"Container {reference} is paused, unpause the container before exec")


class NotPausedError(SystemFailureError):
    """There is nothing to thaw; Docker counts that as its own failure."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f"Container {container_id} is not paused")


class RemovalInProgressError(ConflictError):
    """Somebody else is removing the container."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"removal of container {reference} is already in progress")


class StartFailedError(SystemFailureError):
    """The container's process could not be started, for a reason on this side.

    Attributes:
        exit_code: Becomes the container's.
    """

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class StartRefusedError(InvalidParameterError):
    """The container's process could not be started as asked: its program cannot be run.

    Attributes:
        exit_code: Becomes the container's: 126 or 127.
    """

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def start_error(trouble: str, cause: str) -> StartRefusedError | StartFailedError:
    """Return the error of a process that could not be started, in Docker's words.

    The exit code is taken from the words, because clients do the same.

    Args:
        trouble: What runtimes and Docker put before the cause.
        cause: What the runtime said.
    """
    text = f"{trouble}{cause}: unknown"
    lowered = cause.lower()
    if _DENIED in lowered:
        return StartRefusedError(text, exit_code=_NOT_EXECUTABLE)
    if "is a directory" in lowered:
        # The command line looks for these two words to choose exit code 126.
        return StartRefusedError(f"{text}: {_DENIED}", exit_code=_NOT_EXECUTABLE)
    if "not a directory" in lowered:
        return StartRefusedError(f"{text}: {_MOUNT_HINT}", exit_code=_NOT_FOUND)
    if "executable file not found" in lowered or "no such file or directory" in lowered:
        return StartRefusedError(text, exit_code=_NOT_FOUND)
    return StartFailedError(text, exit_code=_UNKNOWN)


class RequestFailedError(SystemFailureError):
    """A request that reached a running container failed there; the message is the whole sentence."""


class RequestRefusedError(InvalidParameterError):
    """A parameter of a request about a container is wrong; the message is the whole sentence."""
