"""What can be wrong with a signature, a key or a policy."""

from moorage.errors import ForbiddenError, InvalidParameterError, SystemFailureError


class MalformedSignatureError(InvalidParameterError):
    """What a registry keeps as a signature is not one this engine can read."""


class KeyFileError(InvalidParameterError):
    """A key can't be read or used."""


class PolicyFileError(SystemFailureError):
    """The policy file can't be used; until it can, nothing is pulled."""


class ImageRefusedError(ForbiddenError):
    """No signature makes this image acceptable."""
