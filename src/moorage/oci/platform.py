"""Platforms: operating system, processor architecture and its variant.

Spec: image-spec, image-index.md "platform"; the normal forms are Docker's.
"""

import functools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from moorage.errors import InvalidParameterError
from moorage.oci.descriptor import Descriptor, PlatformFields

_COMPONENT: Final = re.compile(r"[A-Za-z0-9_.-]+")
_COMPONENT_TEXT: Final = r"^[A-Za-z0-9_.-]+$"
_OS: Final = re.compile(r"([A-Za-z0-9_-]+)(?:\([A-Za-z0-9_.-]*\))?")
_OS_TEXT: Final = r"^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.-]*)\\))?$"

_OPERATING_SYSTEMS: Final = frozenset(
    (
        "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris wasip1"
        " windows zos"
    ).split()
)
_ARCHITECTURES: Final = frozenset(
    (
        "386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mips64 mips64le mips64p32 mips64p32le mipsle ppc ppc64"
        " ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm"
    ).split()
)
_ALIASES: Final = {
    "i386": ("386", ""),
    "i686": ("386", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_MACHINE_VARIANTS: Final = {"armv5l": "v5", "armv6l": "v6", "armv7l": "v7", "armv8l": "v8"}


class InvalidPlatformError(InvalidParameterError):
    """The text or object names no platform."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Where an image can run, in normal form."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def parse_platform(text: str) -> Platform:
    """Read ``os``, ``arch``, ``os/arch`` or ``os/arch/variant``; what is left out is the host's.

    Raises:
        InvalidPlatformError: Too many parts, a strange character, or one word that is neither.
    """
    parts = text.split("/")
    # An OS version may be written as `windows(10.0.17763)/amd64`; only Windows images have one.
    system = _OS.fullmatch(parts[0])
    if system is None:
        raise InvalidPlatformError(
            f'"{parts[0]}" is an invalid OS component of "{text}": OSAndVersion specifier component must match'
            f' "{_OS_TEXT}": invalid argument'
        )
    parts[0] = system[1]
    for part in parts[1:]:
        if not _COMPONENT.fullmatch(part):
            raise InvalidPlatformError(
                f'"{part}" is an invalid component of "{text}": platform specifier component must match'
                f' "{_COMPONENT_TEXT}": invalid argument'
            )
    if len(parts) == 1:
        return _from_one_word(parts[0], text=text)
    if len(parts) > 3:
        raise InvalidPlatformError(f'"{text}": cannot parse platform specifier: invalid argument')
    return normalise(os=parts[0], architecture=parts[1], variant=parts[2] if len(parts) == 3 else "")


def normalise(*, os: str, architecture: str, variant: str = "", os_version: str = "") -> Platform:
    """Return the platform in normal form: one spelling for every architecture, no redundant variant."""
    os = {"macos": "darwin"}.get(os.lower(), os.lower())
    architecture, variant = architecture.lower(), variant.lower()
    alias, implied = _ALIASES.get(architecture, (architecture, ""))
    variant = variant or implied
    if alias in {"arm", "arm64"} and variant.isdigit():
        variant = f"v{variant}"
    redundant = {("arm64", "v8"), ("amd64", "v1"), ("386", variant)}
    if (alias, variant) in redundant:
        variant = ""
    if alias == "arm" and not variant:
        variant = "v7"
    return Platform(os=os, architecture=alias, variant=variant, os_version=os_version)


def platform_of(fields: PlatformFields) -> Platform:
    """Return the normal form of an index entry's platform."""
    return normalise(
        os=fields.os,
        architecture=fields.architecture,
        variant=fields.variant or "",
        os_version=fields.os_version or "",
    )


@functools.cache
def host_platform() -> Platform:
    """Return the platform this engine's own processor runs."""
    machine = os.uname().machine
    if machine in _MACHINE_VARIANTS:
        return normalise(os="linux", architecture="arm", variant=_MACHINE_VARIANTS[machine])
    return normalise(os="linux", architecture=machine)


def compatible_platforms(wanted: Platform) -> list[Platform]:
    """List the platforms that run on `wanted`, the best first.

    A 32-bit ARM processor runs the older variants too, and a 64-bit x86 processor the plain form of its own.
    """
    candidates = [wanted]
    if wanted.architecture == "arm" and wanted.variant[1:].isdigit():
        older = range(int(wanted.variant[1:]) - 1, 4, -1)
        candidates += [normalise(os=wanted.os, architecture="arm", variant=f"v{number}") for number in older]
    elif wanted.variant:
        candidates.append(Platform(os=wanted.os, architecture=wanted.architecture))
    return candidates


def matches(offered: Platform, *, wanted: Platform) -> bool:
    """Tell whether an image for `offered` is what a request for `wanted` accepts."""
    return any(
        (offered.os, offered.architecture, offered.variant) == (one.os, one.architecture, one.variant)
        for one in compatible_platforms(wanted)
    )


def select(entries: Sequence[Descriptor], *, wanted: Platform) -> Descriptor | None:
    """Choose the index entry to use on `wanted`: the best platform, and of equals the first."""
    for candidate in compatible_platforms(wanted):
        for entry in entries:
            if entry.platform is None:
                continue
            offered = platform_of(entry.platform)
            if (offered.os, offered.architecture, offered.variant) == (
                candidate.os,
                candidate.architecture,
                candidate.variant,
            ):
                return entry
    # An entry that names no platform is taken to run anywhere, but never before one that does.
    return next((entry for entry in entries if entry.platform is None), None)


def _from_one_word(word: str, *, text: str) -> Platform:
    host = host_platform()
    lowered = {"macos": "darwin"}.get(word.lower(), word.lower())
    if lowered in _OPERATING_SYSTEMS:
        return Platform(os=lowered, architecture=host.architecture, variant=host.variant)
    if lowered in _ARCHITECTURES or lowered in _ALIASES:
        return normalise(os=host.os, architecture=lowered)
    raise InvalidPlatformError(f'"{text}": unknown operating system or architecture: invalid argument')
