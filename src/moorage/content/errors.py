"""Errors about blobs, worded as Docker words them."""

from moorage.errors import InvalidParameterError, NotFoundError
from moorage.oci.digest import Digest


class BlobNotFoundError(NotFoundError):
    """The content store has no such blob."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(f"content digest {digest}: not found")
        self.digest = digest


class BlobTooLargeError(InvalidParameterError):
    """A blob that should be small, as manifests are, is not."""

    def __init__(self, digest: Digest, limit: int) -> None:
        super().__init__(f"content digest {digest} exceeds {limit} bytes")


class BlobDigestMismatchError(InvalidParameterError):
    """What arrived is not what was asked for.

    Attributes:
        expected: The digest asked for.
        actual: The digest of what arrived.
    """

    def __init__(self, expected: Digest, actual: Digest) -> None:
        super().__init__(f"filesystem layer verification failed for digest {expected}")
        self.expected = expected
        self.actual = actual


class BlobSizeMismatchError(InvalidParameterError):
    """More or fewer bytes arrived than the descriptor says.

    Attributes:
        expected: Bytes by the descriptor.
        actual: Bytes that arrived, or that were taken before giving up.
    """

    def __init__(self, digest: Digest | None, *, expected: int, actual: int) -> None:
        super().__init__(f"unexpected size of {digest or 'content'}: {actual} bytes, expected {expected}")
        self.expected = expected
        self.actual = actual
