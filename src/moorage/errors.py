"""The kinds of failure a caller can act on.

Every error raised on purpose derives from one of these kinds. A kind says what the
caller can do next, not where it happened; subclasses close to the code that raises
them say where. The HTTP status of each kind lives in `moorage.server.errors`, because
the engine must not know that it is served over HTTP.
"""


class MoorageError(Exception):
    """Base of all deliberate errors; never raised itself.

    The message is one line, without a full stop, and names the object it is about:
    clients print it verbatim.
    """


class NotFoundError(MoorageError):
    """The named object does not exist."""


class InvalidParameterError(MoorageError):
    """The request can never succeed as written."""


class ConflictError(MoorageError):
    """The object's present state forbids the request; another state might allow it."""


class NotModifiedError(MoorageError):
    """The object is already in the requested state."""


class UnauthorizedError(MoorageError):
    """The credentials are missing or wrong."""


class ForbiddenError(MoorageError):
    """The caller may not do this, in any state."""


class UnavailableError(MoorageError):
    """A dependency is down or starting; the same request may succeed later."""


class NotSupportedError(MoorageError):
    """The operation is known, and this engine or this host cannot do it."""


class SystemFailureError(MoorageError):
    """The host or the engine failed; the request itself was right."""
