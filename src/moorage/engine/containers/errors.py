"""Errors about one container, worded as Docker words them.

Clients match these wordings, so they are part of the API.
"""

from moorage.errors import ConflictError, InvalidParameterError, NotFoundError, NotModifiedError, SystemFailureError


class ContainerNotFoundError(NotFoundError):
    """No container has this name or ID."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"No such container: {reference}")


class AmbiguousPrefixError(InvalidParameterError):
    """Several container IDs begin with this text."""

    def __init__(self, prefix: str) -> None:
        super().__init__(f"multiple IDs found with provided prefix: {prefix}")


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


class RequestFailedError(SystemFailureError):
    """A request that reached a running container failed there; the message is the whole sentence."""


class RequestRefusedError(InvalidParameterError):
    """A parameter of a request about a container is wrong; the message is the whole sentence."""
