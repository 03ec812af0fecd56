"""What can go wrong with a registry, in the words Docker's clients know.

The kinds follow the statuses that Docker answers: a repository one may not see is not found, and a registry that
cannot be reached is a failure of the system, not of the request.
"""

from moorage.errors import InvalidParameterError, NotFoundError, SystemFailureError, UnauthorizedError
from moorage.oci.distribution import RegistryFault
from moorage.oci.reference import Reference


class RegistryError(SystemFailureError):
    """A registry answered with an error.

    Attributes:
        fault: What it said.
        status: HTTP status of the answer.
        retry_after: Seconds after which it may be asked again; None if it does not say.
    """

    def __init__(self, fault: RegistryFault, *, status: int, retry_after: float | None = None) -> None:
        super().__init__(str(fault))
        self.fault = fault
        self.status = status
        self.retry_after = retry_after


class RegistryAnswerError(SystemFailureError):
    """A registry answered something that is not of the protocol.

    Attributes:
        status: HTTP status of the answer.
        retry_after: Seconds after which it may be asked again; None if it does not say.
    """

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class RegistryUnreachableError(SystemFailureError):
    """No connection, no valid certificate or no answer in time; the text is worded as Go's."""


class NoBasicCredentialsError(RegistryUnreachableError):
    """The registry wants a name and a password, and none were given."""


class LoginRefusedError(UnauthorizedError):
    """The registry or its token server does not accept the credentials."""


class ManifestNotFoundError(NotFoundError):
    """The repository has no such tag or digest."""


class RepositoryNotFoundError(NotFoundError):
    """The registry has no such repository."""


class AccessDeniedError(NotFoundError):
    """The repository does not exist, or these credentials may not see it: registries do not say which."""


class SourceNotFoundError(NotFoundError):
    """There is nothing behind the URL of an import."""


class BlobAnswerError(InvalidParameterError):
    """A blob is not what its descriptor promised."""


def explain(error: RegistryError, *, reference: Reference) -> Exception:
    """Return the error as Docker words it for a pull of `reference`; itself when Docker adds nothing."""
    code, fault = error.fault.code, error.fault
    if code == "DENIED":
        return AccessDeniedError(
            f"pull access denied for {reference.familiar_repository},"
            f" repository does not exist or may require 'docker login': {fault}"
        )
    if code == "MANIFEST_UNKNOWN":
        return ManifestNotFoundError(f"manifest for {reference.familiar} not found: {fault}")
    if code == "NAME_UNKNOWN":
        return RepositoryNotFoundError(f"repository {reference.familiar_repository} not found: {fault}")
    return error
