"""Turn errors into HTTP answers: the one place where kinds meet status codes."""

import http
from collections.abc import Mapping
from typing import Final

from moorage.errors import (
    ConflictError,
    ForbiddenError,
    InvalidParameterError,
    NotFoundError,
    NotModifiedError,
    NotSupportedError,
    SystemFailureError,
    UnauthorizedError,
    UnavailableError,
)

STATUS_BY_KIND: Final[Mapping[type[BaseException], http.HTTPStatus]] = {
    InvalidParameterError: http.HTTPStatus.BAD_REQUEST,
    UnauthorizedError: http.HTTPStatus.UNAUTHORIZED,
    ForbiddenError: http.HTTPStatus.FORBIDDEN,
    NotFoundError: http.HTTPStatus.NOT_FOUND,
    ConflictError: http.HTTPStatus.CONFLICT,
    NotModifiedError: http.HTTPStatus.NOT_MODIFIED,
    NotSupportedError: http.HTTPStatus.NOT_IMPLEMENTED,
    UnavailableError: http.HTTPStatus.SERVICE_UNAVAILABLE,
    SystemFailureError: http.HTTPStatus.INTERNAL_SERVER_ERROR,
}


class PageNotFoundError(NotFoundError):
    """No operation has this method and path."""

    def __init__(self) -> None:
        super().__init__("page not found")


class NotBuiltError(NotSupportedError):
    """The operation is known to the table and has no handler."""

    def __init__(self, method: str, path: str) -> None:
        super().__init__(f"{method} {path} is not implemented by Moorage")


class MalformedContentTypeError(InvalidParameterError):
    """A JSON body without a content type that says so."""

    def __init__(self, content_type: str) -> None:
        if content_type:
            super().__init__(f"unsupported Content-Type header ({content_type}): must be 'application/json'")
        else:
            super().__init__("malformed Content-Type header (): mime: no media type")


class BodyTooLargeError(InvalidParameterError):
    """A JSON body larger than any request needs."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"http: request body too large: the limit is {limit} bytes")


def status_for(error: BaseException) -> http.HTTPStatus:
    """Return the status of the nearest kind among the error's ancestors.

    Anything without a kind is a bug, so it becomes 500.
    """
    for ancestor in type(error).__mro__:
        if status := STATUS_BY_KIND.get(ancestor):
            return status
    return http.HTTPStatus.INTERNAL_SERVER_ERROR


def message_for(error: BaseException) -> str:
    """Return what the client is told; never empty, because clients print it after a colon."""
    return str(error) or type(error).__name__
