"""What registries and their clients say to each other, besides manifests and blobs.

Pure: parsers of headers and error bodies, so that garbage is tried on them without a server.

Spec: distribution-spec, "Error Codes"; RFC 9110, "WWW-Authenticate"; RFC 8288, "Link".
"""

import re
from dataclasses import dataclass
from typing import Final

import msgspec

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME: Final = re.compile(rf"\s*(?P<scheme>{_WORD})(?:\s+|\s*,|\s*$)")
_PARAMETER: Final = re.compile(
    rf'\s*,?\s*(?P<name>{_WORD})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"]*))\s*(?=,|$)'
)
_NEXT_LINK: Final = re.compile(r'<([^<>]*)>\s*;[^<]*?\brel="?next"?', re.IGNORECASE)
_CONTENT_RANGE: Final = re.compile(r"bytes (?P<first>\d{1,18})-(?P<last>\d{1,18})/(?:\d{1,18}|\*)")
_UPLOAD_RANGE: Final = re.compile(r"(?:bytes=)?(?P<first>\d{1,18})-(?P<last>\d{1,18})")

_MESSAGES: Final = {
    "UNAUTHORIZED": "authentication required",
    "DENIED": "requested access to the resource is denied",
    "UNKNOWN": "unknown error",
    "UNSUPPORTED": "The operation is unsupported.",
    "UNAVAILABLE": "service unavailable",
    "TOOMANYREQUESTS": "too many requests",
    "DIGEST_INVALID": "provided digest did not match uploaded content",
    "SIZE_INVALID": "provided length did not match content length",
    "NAME_INVALID": "invalid repository name",
    "NAME_UNKNOWN": "repository name not known to registry",
    "TAG_INVALID": "manifest tag did not match URI",
    "MANIFEST_UNKNOWN": "manifest unknown",
    "MANIFEST_INVALID": "manifest invalid",
    "MANIFEST_UNVERIFIED": "manifest failed signature verification",
    "MANIFEST_BLOB_UNKNOWN": "blob unknown to registry",
    "BLOB_UNKNOWN": "blob unknown to registry",
    "BLOB_UPLOAD_UNKNOWN": "blob upload unknown to registry",
    "BLOB_UPLOAD_INVALID": "blob upload invalid",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryFault:
    """One error as a registry reports it.

    Attributes:
        code: Upper-case word of the specification, or the registry's own.
    """

    code: str
    message: str = ""

    def __str__(self) -> str:
        text = self.message or _MESSAGES.get(self.code, "unknown error")
        return f"{self.code.lower().replace('_', ' ')}: {text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One way a server offers to authenticate.

    Attributes:
        scheme: Lower case, e.g. ``bearer``.
        parameters: By lower-case name.
    """

    scheme: str
    parameters: dict[str, str]


class _Fault(msgspec.Struct):
    code: str = ""
    message: str | None = None


class _FaultBody(msgspec.Struct):
    """The specification's form, and the two shorter ones that token servers and proxies send."""

    errors: list[_Fault] | None = None
    details: str | None = None
    message: str | None = None


_FAULTS: Final = msgspec.json.Decoder(_FaultBody)
_STATUS_CODES: Final = {401: "UNAUTHORIZED", 403: "DENIED", 429: "TOOMANYREQUESTS"}


def parse_faults(body: bytes, *, status: int) -> list[RegistryFault]:
    """Read the body of an error answer; empty when it explains nothing."""
    try:
        decoded = _FAULTS.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []
    if decoded.errors:
        return [RegistryFault(code=fault.code or "UNKNOWN", message=fault.message or "") for fault in decoded.errors]
    if text := decoded.details or decoded.message:
        return [RegistryFault(code=_STATUS_CODES.get(status, "UNKNOWN"), message=text)]
    return []


def fault_of_challenge(challenges: list[Challenge]) -> RegistryFault | None:
    """Return why a bearer token was not enough, when the server says so in its challenge.

    Spec: RFC 6750, section 3.1.
    """
    codes = {"invalid_token": "UNAUTHORIZED", "insufficient_scope": "DENIED"}
    for challenge in challenges:
        if challenge.scheme == "bearer" and (code := codes.get(challenge.parameters.get("error", ""))):
            return RegistryFault(code=code, message=challenge.parameters.get("error_description", ""))
    return None


def parse_challenges(header: str) -> list[Challenge]:
    """Read one WWW-Authenticate header, which may hold several challenges; garbage ends the list."""
    challenges: list[Challenge] = []
    position = 0
    while match := _SCHEME.match(header, position):
        position = match.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, position):
            quoted = parameter["quoted"]
            value = parameter["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters[parameter["name"].lower()] = value
            position = parameter.end()
        challenges.append(Challenge(scheme=match["scheme"].lower(), parameters=parameters))
        while position < len(header) and header[position] in ", \t":
            position += 1
    return challenges


def next_link(header: str) -> str | None:
    """Return the target of ``rel=next`` in a Link header: the next page of a list."""
    match = _NEXT_LINK.search(header)
    return match[1] if match else None


def parse_content_range(header: str) -> tuple[int, int] | None:
    """Return first and last byte of a partial answer, or None when the header does not say."""
    match = _CONTENT_RANGE.fullmatch(header.strip())
    if match is None:
        return None
    first, last = int(match["first"]), int(match["last"])
    return (first, last) if first <= last else None


def parse_upload_range(header: str) -> int | None:
    """Return how many bytes of an upload the registry holds, from its Range header ``0-<last>``."""
    match = _UPLOAD_RANGE.fullmatch(header.strip())
    # "0-0" is what registries answer for an upload without content as well as for one byte; the former is usual.
    return None if match is None else (int(match["last"]) + 1 if int(match["last"]) else 0)
