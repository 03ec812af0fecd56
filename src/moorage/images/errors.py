"""What can be wrong with an image, in Docker's words: clients match them."""

import contextlib
from collections.abc import Iterator

from moorage.errors import ConflictError, InvalidParameterError, NotFoundError, SystemFailureError
from moorage.oci.digest import Digest
from moorage.oci.platform import Platform
from moorage.oci.reference import InvalidReferenceError, Reference


class ImageNotFoundError(NotFoundError):
    """No image has this name or ID."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"No such image: {reference}")

    @classmethod
    def named(cls, reference: Reference) -> "ImageNotFoundError":
        """Return the error for a name; the tag is spelled out even when it was left out."""
        return cls(reference.with_default_tag().familiar)


class AmbiguousNameError(InvalidReferenceError):
    """A name that would read like an ID."""

    def __init__(self) -> None:
        super().__init__("refusing to create an ambiguous tag using digest algorithm as name")


class ImagePlatformMismatchError(NotFoundError):
    """The image is here, for another platform: the caller may pull the right one."""

    def __init__(self, reference: str, *, offered: Platform, wanted: Platform) -> None:
        super().__init__(
            f"image with reference {reference} was found but its platform ({offered}) does not match"
            f" the specified platform ({wanted})"
        )


class ImageInUseError(ConflictError):
    """The image cannot be removed now."""

    def __init__(self, image_id: Digest, *, reason: str, hard: bool) -> None:
        force = "cannot be forced" if hard else "must be forced"
        super().__init__(f"conflict: unable to delete {short_id(image_id)} ({force}) - {reason}")


class ReferenceInUseError(ConflictError):
    """The last name of an image that a container uses is not given up without force."""

    def __init__(self, reference: str, *, container_id: str, image_id: Digest) -> None:
        super().__init__(
            f'conflict: unable to remove repository reference "{reference}" (must force)'
            f" - container {container_id[:12]} is using its referenced image {short_id(image_id)}"
        )


class UnusableImageError(InvalidParameterError):
    """A manifest and its image config do not make an image that runs here."""


class DiskFailureError(SystemFailureError):
    """The disk did not take what was to be stored; worded as Go words it."""

    def __init__(self, error: OSError) -> None:
        reason = (error.strerror or str(error)).lower()
        super().__init__(f"{error.filename}: {reason}" if error.filename else reason)


@contextlib.contextmanager
def explained_disk_errors() -> Iterator[None]:
    """Turn failures of the disk into errors that a client can be told."""
    try:
        yield
    except OSError as error:
        raise DiskFailureError(error) from error


def short_id(digest: str) -> str:
    """Return the 12 digits of an ID or digest that people read."""
    return digest.rpartition(":")[2][:12]
