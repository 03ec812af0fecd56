"""API versions: which are spoken, and what a request for another one is told.

A version is a pair of numbers; comparing strings would put 1.9 after 1.10. To speak a newer
version, raise MAXIMUM and add the endpoints and fields that it brings.

Spec: Engine API, "Versioning".
"""

import re
from typing import Final, NamedTuple

from moorage.errors import InvalidParameterError


class Version(NamedTuple):
    """An API version, ordered by its numbers."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


MINIMUM: Final = Version(1, 24)
MAXIMUM: Final = Version(1, 56)
#: The Docker release that speaks MAXIMUM; clients which look at the engine's version find it.
DOCKER_RELEASE: Final = "29.8.0"
#: Moorage's own release, as in pyproject.toml: asking for the installed package's metadata would import a mail
#: parser and an archive reader, which stay in the daemon's memory.
RELEASE: Final = "0.1.0"

_VERSION: Final = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})", re.ASCII)


class VersionTooOldError(InvalidParameterError):
    """The client asks for a version that is no longer spoken."""

    def __init__(self, version: str, *, minimum: Version = MINIMUM) -> None:
        # docker-py, dockerode and old command lines look for this text.
        super().__init__(
            f"client version {version} is too old. Minimum supported API version is {minimum}, "
            "please upgrade your client to a newer version"
        )


class VersionTooNewError(InvalidParameterError):
    """The client asks for a version that is not spoken yet."""

    def __init__(self, version: str) -> None:
        super().__init__(f"client version {version} is too new. Maximum supported API version is {MAXIMUM}")


class EndpointTooNewError(InvalidParameterError):
    """The operation exists, in a newer version than the one asked for."""

    def __init__(self, method: str, path: str, since: Version) -> None:
        super().__init__(f"{method} {path} requires minimum API version {since}")


class MalformedVersionError(InvalidParameterError):
    """The version is not two numbers with a dot between them."""

    def __init__(self, text: str) -> None:
        super().__init__(f"invalid API version: {text}")


def read_version(text: str) -> Version:
    """Parse "1.44".

    Raises:
        MalformedVersionError: It is not of that form.
    """
    if not (match := _VERSION.fullmatch(text)):
        raise MalformedVersionError(text)
    return Version(int(match[1]), int(match[2]))


def negotiate(text: str | None, *, minimum: Version = MINIMUM) -> Version:
    """Return the version to answer in, for the version in a request's path (None without one).

    Args:
        minimum: The oldest one that this engine was told to speak.

    Raises:
        VersionTooOldError, VersionTooNewError, MalformedVersionError: It is not spoken here.
    """
    if text is None:
        return MAXIMUM
    version = read_version(text)
    if version < minimum:
        raise VersionTooOldError(text, minimum=minimum)
    if version > MAXIMUM:
        raise VersionTooNewError(text)
    return version
