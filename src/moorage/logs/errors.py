"""What is wrong with a container's log configuration."""

from __future__ import annotations

from moorage.errors import InvalidParameterError, SystemFailureError


class LogOptionError(InvalidParameterError):
    """A log driver or one of its options is unknown, or has a value that is refused at creation."""


class LogDriverStartError(SystemFailureError):
    """The driver cannot start."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"failed to create task for container: failed to initialize logging driver: {problem}")
